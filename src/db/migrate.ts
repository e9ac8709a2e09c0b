import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import type { Client } from "pg";
import { type Database, openDatabase } from "./pool.ts";

/** Any number will do, as long as every Holdfast uses the same. */
const migrationLock = 7_402_519_003;
const folder = fileURLToPath(new URL("./migrations/", import.meta.url));

interface Migration {
  name: string;
  sql: string;
  breaking: boolean;
}

export class SchemaTooNew extends Error {
  override readonly name = "SchemaTooNew";
}

/** Brings the schema up to date, one transaction for each file, under an advisory lock. Returns what it applied. */
export async function migrate(url: string): Promise<string[]> {
  const db = openDatabase({ url, connectionsMax: 2, applicationName: "holdfast-migrate" });
  const session = await db.dedicated({ patient: true });
  try {
    await session.query("select pg_advisory_lock($1)", [migrationLock]);
    return await migrateLocked(db, session);
  } finally {
    await session.end();
    await db.close();
  }
}

async function migrateLocked(db: Database, session: Client): Promise<string[]> {
  // Before our own files: the migrations add columns to LangGraph's tables. Four at once fail, hence the lock.
  await new PostgresSaver(db.pool).setup();
  await session.query("create schema if not exists holdfast");
  await session.query(
    `create table if not exists holdfast.migrations (
       name text primary key, breaking boolean not null, applied_at timestamptz not null default now())`,
  );
  const known = await readMigrations();
  const { rows } = await session.query("select name, breaking from holdfast.migrations");
  const applied = new Set(rows.map((row) => row.name as string));
  const foreign = rows.find((row) => row.breaking && !known.some(({ name }) => name === row.name));
  if (foreign !== undefined) {
    throw new SchemaTooNew(
      `the schema has the breaking migration ${foreign.name}, which this version does not know`,
    );
  }
  const open = known.filter(({ name }) => !applied.has(name));
  for (const migration of open) await apply(session, migration);
  return open.map(({ name }) => name);
}

async function apply(session: Client, migration: Migration): Promise<void> {
  await session.query("begin");
  try {
    await session.query("insert into holdfast.migrations (name, breaking) values ($1, $2)", [
      migration.name,
      migration.breaking,
    ]);
    await session.query(migration.sql);
    await session.query("commit");
  } catch (error) {
    await session.query("rollback");
    throw new Error(`migration ${migration.name} failed`, { cause: error });
  }
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(`${folder}/${name}`, "utf8");
      return { name, sql, breaking: sql.startsWith("--! breaking") };
    }),
  );
}
