/**
 * Runs per second with 1, 2, 4 and 8 worker processes on one Postgres: npm run bench:workers
 * Each of them has done some runs before it is measured: Node compiles what it runs often, and eight processes on two cores
 * do so for longer than the runs of a turn take.
 */
import { GroupCreate } from "../src/queue/group-create.ts";
import { startHoldfast } from "../test/support/holdfast-process.ts";
import { openArena } from "./support/arena.ts";
import { request } from "./support/queue.ts";

const counts = (process.env.BENCH_WORKERS ?? "1,2,4,8").split(",").map(Number);
const runsPerTurn = Number(process.env.BENCH_RUNS ?? 800);
const warmRunsPerWorker = 400;
const turnSecondsMax = 90;
const creatorsTotal = 64;
const lookMillis = 50;

const arena = await openArena();
const { db } = arena;
const creates = new GroupCreate(db);

async function queued(): Promise<number> {
  const text =
    "select count(*)::int as n from holdfast.runs where status in ('queued', 'blocked', 'running')";
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
  let left = await queued();
  while (left > 0 && performance.now() < deadline) {
    await until(lookMillis);
    left = await queued();
  }
  return left;
}

const until = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));
let best = 0;
for (const count of counts) {
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
  const [began, before] = [performance.now(), await queued()];
  const left = await drained();
  const perSecond = (before - left) / ((performance.now() - began) / 1_000);
  const { rows } = await db.query({
    text: `select (select deadlocks from pg_stat_database where datname = current_database())::int as deadlocks,
             (select count(*) from holdfast.run_attempts where outcome <> 'success')::int as others`,
    values: [],
  });
  best = Math.max(best, perSecond);
  console.log(
    `${count} workers: ${perSecond.toFixed(1)} runs/s, ${(perSecond / best).toFixed(2)} of the best so far; ` +
      `deadlocks ${rows[0]?.deadlocks}, attempts that ended otherwise ${rows[0]?.others}`,
  );
  for (const worker of workers) worker.kill("SIGTERM");
  await Promise.all(workers.map((worker) => worker.exited));
}
await arena.close();
