/**
 * Runs per second with 1, 2, 4 and 8 worker processes on one Postgres, each count in each round: npm run bench:workers
 * All are started and warm before anything is measured; those that are too many stand still (SIGSTOP) while fewer work.
 */
import { GroupCreate } from "../src/queue/group-create.ts";
import { type HoldfastProcess, startHoldfast } from "../test/support/holdfast-process.ts";
import { median, openArena } from "./support/arena.ts";
import { request } from "./support/queue.ts";

const counts = (process.env.BENCH_WORKERS ?? "1,2,4,8").split(",").map(Number);
const runsPerTurn = Number(process.env.BENCH_RUNS ?? 800);
const rounds = Number(process.env.BENCH_ROUNDS ?? 4);
const warmRunsPerWorker = 400;
const turnSecondsMax = 60;
/** Of a run's last statement behind its end, and of the chores. */
const settleMillis = 300;
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

/** All of them, warm: Node compiles what it runs often, and eight processes on two cores do so for long. */
async function startWorkers(count: number): Promise<HoldfastProcess[]> {
  const workers = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      startHoldfast({
        DATABASE_URL: arena.url,
        LANGGRAPH_JSON: "bench/langgraph.json",
        ROLES: "worker",
        WORKER_ID: `worker-${n + 1}`,
        WORKER_SLOTS: "16",
        DATABASE_CONNECTIONS: "10",
        // They stand still while fewer are measured.
        BLOCK_SECONDS: "3600",
        // As `npm start` starts it.
        NODE_OPTIONS: "--max-semi-space-size=64",
      }),
    ),
  );
  await fill(warmRunsPerWorker * count);
  await drained();
  return workers;
}

/** Runs per second of so many; the others are stopped, with nothing in hand. What there is to do is there when they go on. */
async function measured(workers: readonly HoldfastProcess[], count: number): Promise<number> {
  await until(settleMillis);
  for (const worker of workers) worker.kill("SIGSTOP");
  await fill(runsPerTurn);
  const [began, before] = [performance.now(), await open()];
  for (const worker of workers.slice(0, count)) worker.kill("SIGCONT");
  const left = await drained();
  const perSecond = (before - left) / ((performance.now() - began) / 1_000);
  for (const worker of workers) worker.kill("SIGCONT");
  await drained();
  return perSecond;
}

const workers = await startWorkers(Math.max(...counts));
const figures = new Map<number, number[]>(counts.map((count) => [count, []]));
for (let round = 0; round < rounds; round += 1) {
  // There and back, since a machine gets slower or faster meanwhile.
  for (const count of round % 2 === 0 ? counts : counts.toReversed())
    figures.get(count)?.push(await measured(workers, count));
}
for (const worker of workers) worker.kill("SIGTERM");
await Promise.all(workers.map((worker) => worker.exited));
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
