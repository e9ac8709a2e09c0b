// Taking runs and keeping them. A claim reads the first rows of the queue, and asks beside that whether their threads have checkpoints.
// Nobody has written events of a run before its first claim, so that one says the first of them: the run's stream begins with it.
import { announcementSeq } from "../../domain/event.ts";
import { query } from "../query.ts";
import { asRun, runColumns } from "./rows.ts";

// As the queue's indexes say it. With the bare column the planner may sort all heads of threads instead, by another index,
// whenever its statistics are older than the queue. So the second look at the row goes by its key alone.
const waits = "status || '' = 'queued'";
// Its commit waits for the disk, as nearly all do: a Postgres that forgot a claim in a crash would give its epoch to the next
// holder too, and the fence could not tell the two apart.
const claiming = (which: "suspect" | "not suspect", limit: number): string => `
with next as (
  select run_id from holdfast.runs
   where ${waits} and ${which} and available_at <= (select holdfast.now()) and graph_id = any($2::text[])
   order by priority desc, available_at, seq
   limit ${limit}
   for update skip locked
), claimed as (
  update holdfast.runs r
     set status = 'running', epoch = epoch + 1, attempt = attempt + 1, worker_id = $1,
         lease_until = holdfast.now() + $3 * interval '1 second', first_epoch = coalesce(first_epoch, epoch + 1),
         started_at = coalesce(started_at, holdfast.now()), claimed_at = holdfast.now(), updated_at = holdfast.now()
    from next where r.run_id = next.run_id
  returning ${runColumns("r")},
    exists (select 1 from public.checkpoints c where c.thread_id = r.thread_id::text) as has_checkpoints
), announced as (
  insert into holdfast.run_events (run_id, seq, attempt, event, data)
  select run_id, ${announcementSeq}, attempt, 'metadata', format('{"run_id":"%s","attempt":%s}', run_id, attempt)
    from claimed where epoch = first_epoch
  on conflict do nothing
)
select * from claimed`;

interface Claim {
  workerId: string;
  graphIds: string[];
  leaseSeconds: number;
}

/** At most so many rows: the first due runs of the graphs this worker knows, suspects left out. */
const claimUpTo = (limit: number, name: string) =>
  query({
    name,
    prepared: true,
    text: claiming("not suspect", limit),
    values: (p: Claim) => [p.workerId, p.graphIds, p.leaseSeconds],
    row: asRun,
  });

export const claimNext = claimUpTo(1, "claim.next");
export const claimTwo = claimUpTo(2, "claim.next_2");
export const claimFour = claimUpTo(4, "claim.next_4");

/** The same among the suspects: runs that two workers died under, which are run alone. */
export const claimSuspect = query({
  name: "claim.suspect",
  prepared: true,
  text: claiming("suspect", 1),
  values: (p: Claim) => [p.workerId, p.graphIds, p.leaseSeconds],
  row: asRun,
});

/** A row when a suspect could be claimed now: a process for suspects is started only then. */
export const suspectDue = query({
  name: "claim.suspect_due",
  prepared: true,
  text: `
select 1 from holdfast.runs
 where ${waits} and suspect and available_at <= (select holdfast.now()) and graph_id = any($1::text[])
 limit 1`,
  values: (p: { graphIds: string[] }) => [p.graphIds],
  row: () => true,
});

/** Renews every lease this worker still holds, in id order (unordered, it deadlocks with the saver's share locks). */
export const renewLeases = query({
  name: "claim.renew",
  prepared: true,
  text: `
with held as materialized (
  select r.run_id from holdfast.runs r join unnest($1::uuid[], $2::bigint[]) as k (run_id, epoch)
      on r.run_id = k.run_id and r.epoch = k.epoch
   where r.status = 'running' order by r.run_id for no key update of r
)
update holdfast.runs r set lease_until = holdfast.now() + $3 * interval '1 second'
  from held where r.run_id = held.run_id and r.status = 'running'
returning r.run_id, r.cancel_requested`,
  values: (p: { runIds: string[]; epochs: number[]; leaseSeconds: number }) => [
    p.runIds,
    p.epochs,
    p.leaseSeconds,
  ],
  row: (raw) => ({
    runId: raw.run_id as string,
    cancelRequested: raw.cancel_requested as "interrupt" | "rollback" | null,
  }),
});

/**
 * When the next run becomes due, in milliseconds from now; null when none waits for a time. Below 0 for one that came due
 * in the last `sinceMillis`. Suspects are always due.
 */
export const nextDue = query({
  name: "claim.next_due",
  prepared: true,
  text: `select extract(epoch from min(available_at) - holdfast.now())::float8 * 1000 as ms
           from holdfast.runs
          where ${waits} and not suspect and graph_id = any($1::text[])
            and available_at > (select holdfast.now()) - $2 * interval '1 millisecond'`,
  values: (p: { graphIds: string[]; sinceMillis: number }) => [p.graphIds, p.sinceMillis],
  row: (raw) => raw.ms as number | null,
});

/** Which of these leases are still held, and whether somebody asked their runs to stop. */
export const heldLeases = query({
  name: "claim.held",
  text: `
select r.run_id, r.cancel_requested
  from unnest($1::uuid[], $2::bigint[]) as k (run_id, epoch)
  join holdfast.runs r on r.run_id = k.run_id and r.epoch = k.epoch
 where r.status = 'running'`,
  values: (p: { runIds: string[]; epochs: number[] }) => [p.runIds, p.epochs],
  row: (raw) => ({
    runId: raw.run_id as string,
    cancelRequested: raw.cancel_requested as "interrupt" | "rollback" | null,
  }),
});
