import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type pg from "pg";

const source = path.resolve(import.meta.dirname, "../../src/db");
export const runsLock = 7_201;
const buildLock = 7_202;
export const clonePrefix = "holdfast_test_";
const templatePrefix = "holdfast_template_";

/** Named after its contents: another migration makes another template. */
export function templateName(): string {
  const hash = createHash("sha256");
  const folder = path.join(source, "migrations");
  const files = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }).sort() : [];
  for (const file of files.filter((name) => path.extname(name) !== "")) {
    hash.update(file).update(readFileSync(path.join(folder, file)));
  }
  const runner = path.join(source, "migrate.ts");
  if (existsSync(runner)) hash.update(readFileSync(runner));
  return templatePrefix + hash.digest("hex").slice(0, 16);
}

/** Migrates one database that every test file clones. `is_template` says that it is complete. */
export async function buildTemplate(admin: pg.Client, adminUrl: string): Promise<string> {
  const name = templateName();
  await admin.query("select pg_advisory_lock($1)", [buildLock]);
  try {
    const { rows } = await admin.query("select datistemplate from pg_database where datname = $1", [name]);
    if (rows[0]?.datistemplate) return name;
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`create database ${name} template template0`);
    await migrateIfThere(urlOf(adminUrl, name));
    // Nobody may connect: a session in the template would make every clone fail.
    await admin.query(`alter database ${name} with is_template true allow_connections false`);
    return name;
  } finally {
    await admin.query("select pg_advisory_unlock($1)", [buildLock]);
  }
}

async function migrateIfThere(url: string): Promise<void> {
  const runner = path.join(source, "migrate.ts");
  if (!existsSync(runner)) return;
  const { migrate } = (await import(runner)) as { migrate(url: string): Promise<void> };
  await migrate(url);
}

/** What killed runs left behind, and templates of other migrations. Only when no other run is going on. */
export async function dropLeftOvers(admin: pg.Client): Promise<void> {
  const { rows } = await admin.query<{ datname: string; datistemplate: boolean }>(
    "select datname, datistemplate from pg_database where starts_with(datname, $1) or starts_with(datname, $2)",
    [clonePrefix, templatePrefix],
  );
  for (const { datname, datistemplate } of rows.filter((row) => row.datname !== templateName())) {
    if (datistemplate) await admin.query(`alter database ${datname} with is_template false`);
    await admin.query(`drop database if exists ${datname} with (force)`);
  }
}

export function urlOf(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}
