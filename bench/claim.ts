/**
 * How long a claim takes, by what else lies in the table of runs, and beside it the commit of one row by its key, which is
 * what the machine itself takes: npm run bench:claim
 * BENCH_FINISHED, BENCH_BLOCKED and BENCH_DELAYED set the sizes of the largest backlog.
 */
import { claimNext, nextDue } from "../src/db/queries/claim.ts";
import { type Arena, openArena, percentile } from "./support/arena.ts";

const sizes = {
  finished: Number(process.env.BENCH_FINISHED ?? 1_000_000),
  blocked: Number(process.env.BENCH_BLOCKED ?? 100_000),
  delayed: Number(process.env.BENCH_DELAYED ?? 100_000),
};
const claimsPerBacklog = Number(process.env.BENCH_CLAIMS ?? 500);
/** A slow machine gets a smaller backlog, and the figures say which. */
const fillSecondsMax = Number(process.env.BENCH_FILL_SECONDS ?? 120);
const rowsPerInsert = 10_000;
const runsPerThread = { finished: 10, blocked: 1_000, delayed: 1, queued: 1 };

type Kind = "finished" | "blocked" | "delayed" | "queued";

/** As the queue itself would leave them. */
const filling: Record<Kind, string> = {
  finished: "'success', now() - interval '1 hour', false, now()",
  blocked: "'blocked', now() - interval '1 minute', false, null",
  delayed: "'blocked', now() + interval '1 hour', true, null",
  queued: "'queued', now() - interval '1 second', false, null",
};

const fillUntil = performance.now() + fillSecondsMax * 1_000;

/** How many were made. */
async function fill({ db }: Arena, kind: Kind, count: number): Promise<number> {
  const perThread = runsPerThread[kind];
  let done = 0;
  for (; done < count; done += Math.min(rowsPerInsert, count - done)) {
    if (kind !== "queued" && performance.now() > fillUntil) break;
    const rows = Math.min(rowsPerInsert, count - done);
    await db.query({
      text: `
with t as materialized (
  insert into holdfast.threads (thread_id, status)
  select gen_random_uuid(), 'idle' from generate_series(1, $1::int) returning thread_id
)
insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, multitask_strategy, kwargs, status, available_at, delayed, finished_at)
select gen_random_uuid(), t.thread_id, gen_random_uuid(), 'bench', 'enqueue', '{"input":{},"stream_mode":["values"]}', ${filling[kind]}
  from t, generate_series(1, $2::int)`,
      values: [Math.ceil(rows / perThread), perThread],
    });
  }
  return done;
}

interface Measured {
  claims: number[];
  commits: number[];
  empty: number[];
}

async function measure({ db }: Arena): Promise<Measured> {
  const claim = { workerId: "bench", graphIds: ["bench", "other"], leaseSeconds: 3_600 };
  const timed = async (work: () => Promise<unknown[]>, expected: number | null): Promise<number> => {
    const began = performance.now();
    const rows = await work();
    if (expected !== null && rows.length !== expected)
      throw new Error(`claimed ${rows.length}, not ${expected}`);
    return performance.now() - began;
  };
  const claims: number[] = [];
  const commits: number[] = [];
  const touch = {
    text: "update holdfast.threads set updated_at = now() where thread_id = $1 returning thread_id",
    values: (await db.query({ text: "select thread_id from holdfast.threads limit 1", values: [] })).rows.map(
      (row) => row.thread_id,
    ),
  };
  for (let n = 0; n < claimsPerBacklog; n += 1) {
    claims.push(await timed(() => claimNext(db, claim), 1));
    commits.push(await timed(async () => (await db.query(touch)).rows, 1));
  }
  const empty: number[] = [];
  for (let n = 0; n < claimsPerBacklog / 5; n += 1) {
    empty.push(await timed(() => claimNext(db, claim), 0));
    await nextDue(db, { ...claim, sinceMillis: 1_000 });
  }
  return { claims, commits, empty };
}

const arena = await openArena();
const show = (values: number[]): string =>
  `p50 ${percentile(values, 0.5).toFixed(2)} ms, p99 ${percentile(values, 0.99).toFixed(2)} ms`;
const backlogs: Partial<Record<Kind, number>>[] = [
  {},
  { finished: sizes.finished / 10 },
  { blocked: sizes.blocked },
  { delayed: sizes.delayed },
  { finished: (sizes.finished * 9) / 10 },
];
const there: Record<Kind, number> = { finished: 0, blocked: 0, delayed: 0, queued: 0 };
for (const backlog of backlogs) {
  for (const [kind, count] of Object.entries(backlog) as [Kind, number][])
    there[kind] += await fill(arena, kind, count);
  await arena.db.query({ text: "analyze holdfast.runs", values: [] });
  await fill(arena, "queued", claimsPerBacklog);
  const { claims, commits, empty } = await measure(arena);
  const name = `${there.finished} finished, ${there.blocked} blocked, ${there.delayed} delayed`;
  console.log(
    `${name}: claim ${show(claims)}; commit of one row ${show(commits)}; nothing to claim ${show(empty)}`,
  );
}
await arena.close();
