import { afterEach, beforeEach } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { type HoldfastProcess, startHoldfast } from "./holdfast-process.ts";

export interface Processes {
  /** The running test's own. */
  readonly db: Database;
  /** One more server on that database; ended after the test. */
  start(environment: Record<string, string>): Promise<HoldfastProcess>;
}

/** For each test of the file a database, and servers on it with these settings where `start` says nothing else. */
export function processesOfEachTest(settings: Record<string, string>): Processes {
  let database: TestDatabase;
  let db: Database;
  let started: HoldfastProcess[];
  beforeEach(async () => {
    database = await createTestDatabase();
    db = openDatabase({ url: database.url, connectionsMax: 2 });
    started = [];
  });
  afterEach(async () => {
    for (const one of started) await one.end();
    await db.close();
    await database.drop();
  });
  return {
    get db() {
      return db;
    },
    async start(environment) {
      const one = await startHoldfast({ DATABASE_URL: database.url, ...settings, ...environment });
      started.push(one);
      return one;
    },
  };
}
