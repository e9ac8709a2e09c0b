import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, inject } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { clonePrefix, urlOf } from "./template.ts";

export interface TestDatabase {
  url: string;
  /** Ends the sessions that are still open, too. */
  drop(): Promise<void>;
}

/** A migrated database of the test's own, on the Postgres of this run. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = clonePrefix + randomBytes(6).toString("hex");
  await onAdmin(`create database ${name} template ${inject("template")} strategy file_copy`);
  return {
    url: urlOf(inject("adminUrl"), name),
    drop: () => onAdmin(`drop database if exists ${name} with (force)`),
  };
}

/** A database that all tests of a file share: opened before them, dropped after. */
export function openForFile(use: (db: Database) => void): void {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    db = openDatabase({ url: test.url, connectionsMax: 8 });
    use(db);
  });
  afterAll(async () => {
    await db.close();
    await test.drop();
  });
}

async function onAdmin(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject("adminUrl") });
  client.on("error", () => {});
  await client.connect();
  await client.query(statement).finally(() => client.end());
}
