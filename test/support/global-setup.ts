import path from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { buildTemplate, dropLeftOvers, runsLock } from "./template.ts";

declare module "vitest" {
  export interface ProvidedContext {
    adminUrl: string;
    template: string;
  }
}

/** Survives between runs: a warm start costs a tenth of a cold one. One folder per checkout. */
const dataDir = path.resolve(import.meta.dirname, "../../.holdfast/test-pg");
const log = { info: () => {} };
/** What a killed process has written is the kernel's; only a power cut loses it, and with it nothing but tests. */
const settings = { fsync: "off", full_page_writes: "off" };

let server: EmbeddedPostgres | undefined;
let admin: pg.Client | undefined;

/** One Postgres for the whole run: the given server, on which tests make databases of their own, else the built-in one. */
export async function setup(project: TestProject): Promise<void> {
  const given = process.env.TEST_DATABASE_URL ?? process.env.DATABASE_URL;
  server = given ? undefined : await startEmbeddedPostgres({ dataDir, log, settings, stopOnExit: true });
  const adminUrl = given ?? server?.url ?? "";
  admin = new pg.Client({ connectionString: adminUrl });
  admin.on("error", () => {});
  await admin.connect();
  if (await holdExclusively(admin)) {
    await dropLeftOvers(admin);
    await admin.query("select pg_advisory_unlock($1)", [runsLock]);
  }
  // Held until teardown: the last of several runs is the one that finds nobody else here.
  await admin.query("select pg_advisory_lock_shared($1)", [runsLock]);
  project.provide("adminUrl", adminUrl);
  project.provide("template", await buildTemplate(admin, adminUrl));
}

export async function teardown(): Promise<void> {
  await admin?.query("select pg_advisory_unlock_shared($1)", [runsLock]);
  const last = admin !== undefined && (await holdExclusively(admin));
  await admin?.end();
  if (last) await server?.stop();
}

async function holdExclusively(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query("select pg_try_advisory_lock($1) as held", [runsLock]);
  return rows[0].held;
}
