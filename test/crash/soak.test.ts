import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { checkInvariants } from "../support/invariants.ts";

const runsTotal = Number(process.env.SOAK_RUNS ?? 500);
const seed = Number(process.env.SOAK_SEED ?? 20_261_120);
const workersTotal = 3;
const stepMillis = 90;
const secondsMax = 420;
const killMillis = [300, 1_000] as const;
const restartMillis = 6_000;

/** A small generator with a seed (mulberry32): the same kills in the same order. */
function dice(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

let folder: string;
let postgres: EmbeddedPostgres;
let url: string;
let db: Database;
const log = { info: () => undefined };

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-soak-"));
  postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, "pg"), log, stopOnExit: true });
  url = postgres.url;
  await migrate(url);
  db = openDatabase({ url, connectionsMax: 4 });
});
afterAll(async () => {
  await db.close();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The postmaster dies as by a power cut; the next start recovers on the same port. */
async function restartPostgres(): Promise<void> {
  process.kill(postgres.pid, "SIGKILL");
  postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, "pg"), log, stopOnExit: true });
  expect(postgres.url, "the port stays").toBe(url);
}

const workerOf = (n: number): Promise<HoldfastProcess> =>
  startHoldfast({
    DATABASE_URL: url,
    ROLES: "worker",
    WORKER_ID: `worker-${n}`,
    WORKER_SLOTS: "4",
    LEASE_SECONDS: "2",
    REAP_MILLIS: "250",
    POLL_MILLIS: "250",
    LOG_LEVEL: "info",
  });

interface Nemesis {
  kills: number;
  restarts: number;
  stop(): Promise<void>;
}

/** Kills a worker at a time and replaces it; now and then Postgres goes as well. */
function startNemesis(workers: HoldfastProcess[], random: () => number): Nemesis {
  const stopped = new AbortController();
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: stopped.signal }).catch(() => undefined);
  const counts = { kills: 0, restarts: 0 };
  const killing = (async () => {
    while (!stopped.signal.aborted) {
      await pause(killMillis[0] + random() * (killMillis[1] - killMillis[0]));
      const victim = Math.floor(random() * workers.length);
      workers[victim]?.kill("SIGKILL");
      await workers[victim]?.exited;
      counts.kills += 1;
      const next = await workerOf(counts.kills + workersTotal).catch(() => undefined);
      if (next !== undefined) workers[victim] = next;
    }
  })();
  const restarting = (async () => {
    while (!stopped.signal.aborted) {
      await pause(restartMillis);
      if (stopped.signal.aborted) return;
      await restartPostgres();
      counts.restarts += 1;
    }
  })();
  return {
    get kills() {
      return counts.kills;
    },
    get restarts() {
      return counts.restarts;
    },
    async stop() {
      stopped.abort();
      await Promise.all([killing, restarting]);
    },
  };
}

/** Creates every run over HTTP, two for each thread, each request repeated with its key until it is acknowledged. */
async function createAll(api: HoldfastProcess): Promise<string[]> {
  const acknowledged: string[] = [];
  let next = 0;
  const create = async (): Promise<void> => {
    while (next < runsTotal) {
      const n = next;
      next += 1;
      acknowledged.push(await createOne(api, n));
    }
  };
  await Promise.all(Array.from({ length: 8 }, create));
  return acknowledged;
}

const threads = Array.from({ length: Math.ceil(runsTotal / 2) }, () => randomUUID());
const triesMax = 100;

async function createOne(api: HoldfastProcess, n: number): Promise<string> {
  const body = JSON.stringify({
    assistant_id: "steps",
    if_not_exists: "create",
    input: { log: [`run ${n}`], wait: stepMillis },
  });
  const headers = { "content-type": "application/json", "idempotency-key": `run-${n}` };
  for (let attempt = 0; attempt < triesMax; attempt += 1) {
    const response = await fetch(`${api.url}/threads/${threads[n % threads.length]}/runs`, {
      method: "POST",
      headers,
      body,
    }).catch(() => undefined);
    if (response?.ok) return ((await response.json()) as { run_id: string }).run_id;
    if (response !== undefined && response.status < 500)
      throw new Error(`${response.status} ${await response.text()}`);
    await sleep(200);
  }
  throw new Error(`run ${n} was never accepted`);
}

async function openRuns(): Promise<number> {
  const { rows } = await db.query({
    text: "select count(*) as n from holdfast.runs where status in ('queued', 'blocked', 'running')",
    values: [],
  });
  return Number(rows[0]?.n);
}

async function untilAllEnded(): Promise<void> {
  const deadline = Date.now() + secondsMax * 1_000;
  while (Date.now() < deadline) {
    if ((await openRuns().catch(() => 1)) === 0) return;
    await sleep(250);
  }
  throw new Error(`${await openRuns()} runs did not end within ${secondsMax} s`);
}

describe(`${runsTotal} runs under kill -9 of ${workersTotal} workers and of Postgres`, () => {
  it("are all kept, each ends once, and each thread has one head", async () => {
    const api = await startHoldfast({ DATABASE_URL: url, ROLES: "http" });
    const workers = await Promise.all([1, 2, 3].map(workerOf));
    const nemesis = startNemesis(workers, dice(seed));
    try {
      const acknowledged = await createAll(api);
      expect(new Set(acknowledged).size).toBe(runsTotal);
      await untilAllEnded();
      await nemesis.stop();
      await checkInvariants(db, acknowledged);
      const { rows } = await db.query({
        text: "select status, error->>'code' as code, count(*) as n, max(crashes) as crashes from holdfast.runs group by 1, 2 order by 3 desc",
        values: [],
      });
      const kills = `${nemesis.kills} kills, ${nemesis.restarts} Postgres crashes`;
      console.log(`soak seed ${seed}: ${runsTotal} runs, ${kills}, 0 lost, 0 stuck: ${JSON.stringify(rows)}`);
      expect(nemesis.kills).toBeGreaterThan(8);
      expect(nemesis.restarts).toBeGreaterThan(1);
      for (const row of rows)
        expect(row.code ?? "crash_budget", "an end that a kill does not explain").toBe("crash_budget");
    } finally {
      await nemesis.stop();
      for (const worker of [...workers, api]) await worker.end();
    }
  });
});
