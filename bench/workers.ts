/**
 * Runs per second with 1, 2, 4 and 8 worker processes on one Postgres, each count in each round: npm run bench:workers
 * Each of them has done some runs before it is measured: Node compiles what it runs often, and eight processes on two cores
 * do so for longer than the runs of a turn take.
 */
import { GroupCreate } from "../src/queue/group-create.ts";
import { startHoldfast } from "../test/support/holdfast-process.ts";
import { median, openArena } from "./support/arena.ts";
import { request } from "./support/queue.ts";

const counts = (process.env.BENCH_WORKERS ?? "1,2,4,8").split(",").map(Number);
const runsPerTurn = Number(process.env.BENCH_RUNS ?? 800);
const rounds = Number(process.env.BENCH_ROUNDS ?? 2);
const warmRunsPerWorker = 400;
const turnSecondsMax = 90;
const creatorsTotal = 64;
const lookMillis = 50;

const arena = await openArena();
const { db } = arena;
const creates = new GroupCreate(db);

/** By their indexes: a look must not cost more the more runs have ended. */
async function open(): Promise<number> {
  const text = `select (select count(*) from holdfast.runs where status || '' = 'queued' and not suspect)
      + (select count(*) from holdfast.runs where status = 'running') as n`;
  return Number((await db.query({ text, values: [] })).rows[0]?.n);
}

async function fill(count: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: creatorsTotal }, async () => {
      while (left > 0) {
        left -= 1;
        await creates.create(request("five", { log: [] }));
      }
    }),
  );
}

/** Until nothing is left, or for so long; how many were left. */
async function drained(): Promise<number> {
  const deadline = performance.now() + turnSecondsMax * 1_000;
  let left = await open();
  while (left > 0 && performance.now() < deadline) {
    await until(lookMillis);
    left = await open();
  }
  return left;
}

const until = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

/** Runs per second of so many worker processes. */
async function measured(count: number): Promise<number> {
  const workers = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      startHoldfast({
        DATABASE_URL: arena.url,
        LANGGRAPH_JSON: "bench/langgraph.json",
        ROLES: "worker",
        WORKER_ID: `worker-${count}-${n}`,
        WORKER_SLOTS: "16",
        DATABASE_CONNECTIONS: "10",
        // As `npm start` starts it.
        NODE_OPTIONS: "--max-semi-space-size=64",
      }),
    ),
  );
  await fill(warmRunsPerWorker * count);
  await drained();
  await fill(runsPerTurn);
  const [began, before] = [performance.now(), await open()];
  const left = await drained();
  const perSecond = (before - left) / ((performance.now() - began) / 1_000);
  for (const worker of workers) worker.kill("SIGTERM");
  await Promise.all(workers.map((worker) => worker.exited));
  return perSecond;
}

const figures = new Map<number, number[]>(counts.map((count) => [count, []]));
for (let round = 0; round < rounds; round += 1)
  for (const count of counts) figures.get(count)?.push(await measured(count));
const speeds = [...figures.values()].map(median);
counts.forEach((count, n) => {
  const each = (figures.get(count) ?? []).map((speed) => speed.toFixed(0)).join(", ");
  const [speed = 0, best] = [speeds[n], Math.max(...speeds)];
  console.log(
    `${count} workers: ${speed.toFixed(1)} runs/s, ${(speed / best).toFixed(2)} of the best (${each})`,
  );
});
const { rows } = await db.query({
  text: `select (select deadlocks from pg_stat_database where datname = current_database())::int as deadlocks,
           (select count(*) from holdfast.run_attempts where outcome <> 'success')::int as others`,
  values: [],
});
console.log(`deadlocks ${rows[0]?.deadlocks}, attempts that ended otherwise ${rows[0]?.others}`);
await arena.close();
