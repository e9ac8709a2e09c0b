import { realpathSync } from "node:fs";
import pg from "pg";
import { findBinaries } from "./embedded/binaries.ts";
import { type Cluster, openCluster, user } from "./embedded/cluster.ts";
import { codeOf, EmbeddedPostgresError } from "./embedded/error.ts";
import { ensureServer, stopServer } from "./embedded/postmaster.ts";

const database = "holdfast";
const connectMillisMax = 3_000;

/** Small enough for a laptop; the pools of several workers and the tests fit into the connections. */
const defaults = {
  shared_buffers: "128MB",
  max_connections: "200",
  // After a crash, one call in place of an fsync of each of a thousand files: 0.3 s in place of 10 s on a slow disk.
  ...(process.platform === "linux" ? { recovery_init_sync_method: "syncfs" } : {}),
};

interface Log {
  info(fields: object, message: string): void;
}

export interface EmbeddedOptions {
  /** Where the data lies. Its password, log and mode are kept beside it, as `<dataDir>.password` and so on. */
  dataDir: string;
  log: Log;
  /** Postgres settings by name, in addition to ours. They apply when the server is started, not when adopted. */
  settings?: Record<string, string>;
  /** Whether `stop()` stops the server. By default when this call started it; true also when it was adopted. */
  stopOnExit?: boolean;
}

export interface EmbeddedPostgres {
  url: string;
  pid: number;
  how: "started" | "adopted";
  /** Ends all sessions and waits for the server to be gone, if it is ours to stop; safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Gives a Postgres without any set-up: the one already running in the data folder, or a new one. It outlives
 * this process unless stopped, so a crash here costs no recovery, and the next start adopts it.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const startedAt = performance.now();
  const cluster = await openCluster({ dataDir: options.dataDir, binaries: findBinaries() });
  const { pid, port, how } = await ensureServer({
    cluster,
    settings: { ...defaults, ...options.settings },
    answers: (at) => answers(cluster, at),
  });
  const millis = Math.round(performance.now() - startedAt);
  options.log.info(
    { pid, port, how, millis, folder: cluster.home, as: cluster.runAs.mode },
    "built-in Postgres ready",
  );
  const ours = options.stopOnExit ?? how === "started";
  return {
    url: `postgres://${user}:${cluster.password}@127.0.0.1:${port}/${database}`,
    pid,
    how,
    async stop() {
      if (!ours) return;
      await stopServer(cluster, pid);
      options.log.info({ pid }, "built-in Postgres stopped");
    },
  };
}

/** Connects, checks that it is the server of our folder, and sees to it that our database exists. */
async function answers({ home, password }: Cluster, port: number): Promise<boolean> {
  const client = new pg.Client({
    host: "127.0.0.1",
    port,
    user,
    password,
    database: "postgres",
    ssl: false,
    connectionTimeoutMillis: connectMillisMax,
    query_timeout: connectMillisMax,
  });
  // A server that dies under us is reported by the query as well; without a listener it would end the process.
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ folder: string; present: boolean }>(
      `select current_setting('data_directory') as folder,
              exists (select from pg_database where datname = $1) as present`,
      [database],
    );
    const [row] = rows;
    if (!row || realpathSync(row.folder) !== home) return false;
    if (!row.present) await createDatabase(client);
    return true;
  } catch (error) {
    if (isPassing(codeOf(error))) return false;
    throw unusable(home, error);
  } finally {
    await client.end().catch(() => {});
  }
}

async function createDatabase(client: pg.Client): Promise<void> {
  try {
    await client.query(`create database ${database}`);
  } catch (error) {
    const madeMeanwhile = ["42P04", "23505"].includes(codeOf(error));
    if (!madeMeanwhile) throw error;
  }
}

/** The server is coming or going: network errors, timeouts (no code), classes 08 and 57 of Postgres. */
const isPassing = (code: string): boolean => code === "" || /^(E[A-Z]+|08\w{3}|57\w{3})$/.test(code);

function unusable(home: string, cause: unknown): EmbeddedPostgresError {
  const why = codeOf(cause).startsWith("28")
    ? "refuses the password kept beside the folder: put the right file back"
    : `cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`;
  return new EmbeddedPostgresError(`the built-in Postgres in ${home} ${why}`, { cause });
}
