// The database that a command works on. It loads nothing of LangGraph, whose modules take a second to load.
import path from "node:path";
import type { Config } from "./config.ts";
import { startEmbeddedPostgres } from "./db/embedded.ts";
import { migrate } from "./db/migrate.ts";
import { openDatabase } from "./db/pool.ts";
import { otherSessions } from "./db/queries/keys.ts";
import { one } from "./db/query.ts";
import type { Log } from "./observe/log.ts";
import { Chore } from "./worker/housekeeping.ts";

export type Stop = () => Promise<void>;

const embeddedLookMillis = 2_000;

export async function migrateOnly(config: Config, log: Log): Promise<void> {
  const stops: Stop[] = [];
  const applied = await migrate(await database(config, log, stops));
  log.info({ applied }, "schema is up to date");
  for (const end of stops) await end();
}

/** The given database, or the built-in one; that is stopped by the last of our processes that uses it. */
export async function database(config: Config, log: Log, stops: Stop[]): Promise<string> {
  if (config.DATABASE_URL !== undefined) return config.DATABASE_URL;
  const dataDir = path.resolve(config.HOLDFAST_DATA_DIR);
  const embedded = await startEmbeddedPostgres({ dataDir, log, stopOnExit: true });
  log.info({ dataDir, how: embedded.how }, "no DATABASE_URL: using the built-in Postgres");
  // Adopts a living server within milliseconds, and starts one again that has died.
  const watch = new Chore({
    name: "postgres",
    everyMillis: embeddedLookMillis,
    runOnce: () => startEmbeddedPostgres({ dataDir, log: { info: () => undefined }, stopOnExit: false }),
    log,
  });
  watch.start();
  stops.push(async () => {
    await watch.stop();
    const db = openDatabase({ url: embedded.url, connectionsMax: 1 });
    const others = one(await otherSessions(db, undefined)) ?? 0;
    await db.close();
    if (others === 0) await embedded.stop();
  });
  return embedded.url;
}
