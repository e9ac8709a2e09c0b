// A Postgres of the bench's own, with fsync on, and what it and this process have spent so far.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";

/** Of /proc/PID/stat, which counts in hundredths of a second. */
const ticksPerSecond = 100;

export interface Spent {
  nodeMillis: number;
  /** Null where /proc is not readable. */
  postgresMillis: number | null;
  walBytes: number;
  statements: number;
}

export interface Arena {
  url: string;
  db: Database;
  postgres: EmbeddedPostgres;
  spent(): Promise<Spent>;
  close(): Promise<void>;
}

export async function openArena(connectionsMax = 10): Promise<Arena> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, "pg"),
    log: { info: () => undefined },
    settings: { max_connections: "300" },
    stopOnExit: true,
  });
  await migrate(postgres.url);
  const db = openDatabase({ url: postgres.url, connectionsMax });
  const statements = countStatements();
  return {
    url: postgres.url,
    db,
    postgres,
    async spent() {
      const sent = statements();
      const { user, system } = process.cpuUsage();
      const { rows } = await db.query({
        text: "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes",
        values: [],
      });
      return {
        nodeMillis: (user + system) / 1_000,
        postgresMillis: millisOf(postgres.pid),
        walBytes: Number(rows[0]?.bytes),
        statements: sent,
      };
    },
    async close() {
      await db.close();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Of every connection of this process, whoever opens it. */
function countStatements(): () => number {
  let sent = 0;
  const { prototype } = pg.Client;
  const query = prototype.query as (...args: unknown[]) => unknown;
  prototype.query = function (this: pg.Client, ...args: unknown[]) {
    sent += 1;
    return query.apply(this, args);
  } as typeof prototype.query;
  return () => sent;
}

/** What the postmaster and its children have used of the processors. */
function millisOf(postmaster: number): number | null {
  try {
    let ticks = 0;
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const fields = statOf(pid);
      if (fields === undefined) continue;
      const [parent, own, ended] = [Number(fields[1]), sum(fields, 11), sum(fields, 13)];
      if (Number(pid) === postmaster) ticks += own + ended;
      else if (parent === postmaster) ticks += own;
    }
    return (ticks / ticksPerSecond) * 1_000;
  } catch {
    return null;
  }
}

const sum = (fields: string[], at: number): number => Number(fields[at]) + Number(fields[at + 1]);

/** From the state on; the name before it may hold spaces. Undefined when the process has just ended. */
function statOf(pid: string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

export const percentile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
};
