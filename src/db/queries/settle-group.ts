// Ending attempts of many runs that went well, in one transaction. Rows that somebody else has locked are left out, so
// that a transaction which holds many waits for none.
import { query } from "../query.ts";
import { notingWebhooks } from "./webhooks.ts";

// `limit` tells the planner to expect few rows, also of tables that are still small when it plans. With the bare column
// it would read all running runs, or all open questions, by their own indexes; so it goes by the keys.
const running = "r.status || '' = 'running'";
const open = "e.status || '' = 'open'";

/** A statement of its own: those behind it see what was committed before the threads were locked. */
export const lockThreads = query({
  name: "thread.lock_free",
  prepared: true,
  text: `
select t.thread_id from (select unnest($1::uuid[]) as thread_id limit $2) k join holdfast.threads t using (thread_id)
 order by t.thread_id for no key update of t skip locked`,
  values: (p: { threadIds: string[] }) => [p.threadIds, p.threadIds.length],
  row: (raw) => raw.thread_id as string,
});

interface Lease {
  runId: string;
  epoch: number;
}

/** Runs that these holders still have and that nobody wants to stop, locked; and whether one waits behind them. */
export const holdRuns = query({
  name: "settle.hold_free",
  prepared: true,
  text: `
select r.run_id, exists (select 1 from holdfast.runs b where b.thread_id = r.thread_id and b.status = 'blocked') as followed
  from (select * from unnest($1::uuid[], $2::bigint[]) as k (run_id, epoch) limit $3) k
  join holdfast.runs r on r.run_id = k.run_id and r.epoch = k.epoch
 where ${running} and r.cancel_requested is null
 order by r.run_id for no key update of r skip locked`,
  values: (p: { leases: readonly Lease[] }) => [
    p.leases.map(({ runId }) => runId),
    p.leases.map(({ epoch }) => epoch),
    p.leases.length,
  ],
  row: (raw) => ({ runId: raw.run_id as string, followed: raw.followed as boolean }),
});

/** A run that ended well and asks nothing. */
export interface Success extends Lease {
  threadId: string;
  /** Of the thread, and what the run gives. */
  values: string;
  interrupts: string;
  /** The graph that parked the thread at a breakpoint; null when the thread does not wait. */
  parkedBy: string | null;
  finalEvents: readonly { event: string; data: string }[];
}

function successValues(all: readonly Success[]): unknown[] {
  const events = all.flatMap(({ finalEvents }, at) =>
    finalEvents.map(({ event, data }) => ({ item: at + 1, event, data })),
  );
  return [
    all.map(({ runId }) => runId),
    all.map(({ epoch }) => epoch),
    all.map(({ values }) => values),
    all.map(({ interrupts }) => interrupts),
    all.map(({ parkedBy }) => parkedBy),
    all.length,
    events.map(({ item }) => item),
    events.map(({ event }) => event),
    events.map(({ data }) => data),
  ];
}

/** The runs that were ended; the caller has locked them and their threads, so that none may be missing. */
export const finishRuns = query({
  name: "settle.finish_many",
  prepared: true,
  text: `
with held as materialized (
  select k.item, r.run_id, r.thread_id, r.epoch, r.attempt, r.worker_id, r.claimed_at, k."values", k.interrupts, k.parked_by
    from (select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[]) with ordinality
                     as k (run_id, epoch, "values", interrupts, parked_by, item) limit $6) k
    join holdfast.runs r on r.run_id = k.run_id and r.epoch = k.epoch
   where ${running}
), ended as (
  update holdfast.runs r
     set status = 'success', lease_until = null, worker_id = null, output = held."values", error = null, fingerprint = null,
         finished_at = holdfast.now(), updated_at = holdfast.now()
    from held where r.run_id = held.run_id and r.epoch = held.epoch and ${running} returning r.*
), ${notingWebhooks}, attempts as (
  insert into holdfast.run_attempts (run_id, epoch, attempt, worker_id, outcome, started_at)
  select run_id, epoch, attempt, worker_id, 'success', claimed_at from held on conflict do nothing
), events as (
  insert into holdfast.run_events (run_id, seq, attempt, event, data)
  select held.run_id,
         coalesce((select max(seq) from holdfast.run_events l where l.run_id = held.run_id), -1)
           + row_number() over (partition by e.item order by e.n)::int,
         held.attempt, e.event, e.data
    from unnest($7::bigint[], $8::text[], $9::text[]) with ordinality as e (item, event, data, n) join held using (item)
  on conflict do nothing
), moot as (
  update holdfast.escalations e set status = 'superseded'
    from held where e.thread_id = held.thread_id and ${open} and not e.compensation
), shown as (
  update holdfast.threads t
     set epoch = greatest(t.epoch, held.epoch), updated_at = holdfast.now(), state_updated_at = holdfast.now(),
         "values" = held."values", interrupts = held.interrupts, error = null, graph_version = held.parked_by,
         status = case when held.parked_by is null then 'idle' else 'interrupted' end
    from held where t.thread_id = held.thread_id
)
select run_id from ended`,
  values: (all: readonly Success[]) => successValues(all),
  row: (raw) => raw.run_id as string,
});
