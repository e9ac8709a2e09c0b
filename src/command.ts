import type { Config } from "./config.ts";
import { database } from "./database.ts";
import { migrate } from "./db/migrate.ts";
import { type Database, openDatabase } from "./db/pool.ts";
import type { Log } from "./observe/log.ts";

/** For commands that work on the database directly: the given one, or the built-in one, started if need be. */
export async function withDatabase(
  { config, log }: { config: Config; log: Log },
  work: (db: Database) => Promise<void>,
): Promise<void> {
  const stops: (() => Promise<void>)[] = [];
  const url = await database(config, log, stops);
  await migrate(url);
  const db = openDatabase({ url, connectionsMax: 1 });
  try {
    await work(db);
  } finally {
    await db.close();
    for (const end of stops) await end();
  }
}

export const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
