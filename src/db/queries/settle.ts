// Ending an attempt. Each statement names the lease; zero rows means another holder has the thread.
import { query } from "../query.ts";
import { asRun, runColumns } from "./rows.ts";
import { notingWebhooks } from "./webhooks.ts";

interface Lease {
  runId: string;
  epoch: number;
}

export const finishRun = query({
  name: "settle.finish",
  prepared: true,
  text: `
with ended as (
  update holdfast.runs
     set status = $3, lease_until = null, worker_id = null, output = $4, error = $5, fingerprint = $6,
         finished_at = holdfast.now(), updated_at = holdfast.now()
   where run_id = $1 and epoch = $2 and status = 'running' returning *
), ${notingWebhooks}
select ${runColumns("ended")} from ended`,
  values: (
    p: Lease & {
      status: "success" | "error" | "timeout" | "interrupted";
      output: string | null;
      error: unknown;
      /** Of a dead run: its cause. */
      fingerprint: string | null;
    },
  ) => [
    p.runId,
    p.epoch,
    p.status,
    p.output,
    p.error === null ? null : JSON.stringify(p.error),
    p.fingerprint,
  ],
  row: asRun,
});

/** Back into the queue with a due time; charged failures count against the retry budget. It ended in order: an
 * attempt that failed by itself is no suspect any more, and its losses are forgotten. */
export const retryRun = query({
  name: "settle.retry",
  text: `
update holdfast.runs
   set status = 'queued', lease_until = null, worker_id = null, failures = failures + $4::int,
       attempt = attempt - (1 - $4::int), error = $5, suspect = false, losses = 0,
       available_at = holdfast.now() + $3 * interval '1 millisecond', updated_at = holdfast.now()
 where run_id = $1 and epoch = $2 and status = 'running' returning *`,
  values: (p: Lease & { delayMs: number; charged: boolean; error: unknown }) => [
    p.runId,
    p.epoch,
    p.delayMs,
    p.charged ? 1 : 0,
    JSON.stringify(p.error),
  ],
  row: asRun,
});

/** Given back as if it had never been claimed. */
export const releaseRun = query({
  name: "settle.release",
  text: `
update holdfast.runs
   set status = 'queued', lease_until = null, worker_id = null, attempt = attempt - 1, updated_at = holdfast.now()
 where run_id = $1 and epoch = $2 and status = 'running' returning *`,
  values: (p: Lease) => [p.runId, p.epoch],
  row: asRun,
});

/** A run that took its process along goes back into the queue: one crash more, or the first since it got on. `alone`
 * says that it is run alone from now on. */
export const requeueCrashed = query({
  name: "settle.requeue_crashed",
  text: `
update holdfast.runs
   set status = 'queued', lease_until = null, worker_id = null, updated_at = holdfast.now(),
       crashes = case when $3::boolean then 1 else crashes + 1 end, suspect = $4,
       losses = case when $3::boolean then 0 else losses end
 where run_id = $1 and epoch = $2 and status = 'running' returning *`,
  values: (p: Lease & { progressed: boolean; alone: boolean }) => [p.runId, p.epoch, p.progressed, p.alone],
  row: asRun,
});

/**
 * A run whose worker is gone goes back, uncharged: nobody knows yet who was to blame. The second time it is a suspect,
 * also when it had got on in between.
 */
export const requeueLost = query({
  name: "settle.requeue_lost",
  text: `
update holdfast.runs
   set status = 'queued', lease_until = null, worker_id = null, updated_at = holdfast.now(),
       suspect = suspect or losses > 0,
       crashes = case when $3::boolean then 0 else crashes end,
       losses = case when $3::boolean then 1 else losses + 1 end
 where run_id = $1 and epoch = $2 and status = 'running' returning *`,
  values: (p: Lease & { progressed: boolean }) => [p.runId, p.epoch, p.progressed],
  row: asRun,
});

/** A holder has got on when it committed a step or, as a compensation, undid an effect. */
const progressed = `(
  exists (select 1 from public.checkpoints c
           where c.thread_id = r.thread_id::text and c.run_id = r.run_id and c.epoch = r.epoch)
  or exists (select 1 from holdfast.effects e
              where e.run_id = r.run_id and e.epoch = r.epoch and e.compensates is not null and e.state = 'succeeded'))`;

/** Whether this holder has got on. */
export const hasProgressed = query({
  name: "settle.has_progressed",
  text: `select ${progressed} as progressed from holdfast.runs r where r.run_id = $1 and r.epoch = $2`,
  values: (p: Lease) => [p.runId, p.epoch],
  row: (raw) => raw.progressed as boolean,
});

/** The row of this holder, locked; zero rows when it has lost its lease. */
export const holdRun = query({
  name: "settle.hold",
  prepared: true,
  text: `select ${runColumns("r")} from holdfast.runs r
          where run_id = $1 and epoch = $2 and status = 'running' for no key update`,
  values: (p: Lease) => [p.runId, p.epoch],
  row: asRun,
});

export const deleteRun = query({
  name: "settle.delete",
  text: "delete from holdfast.runs where run_id = $1 and epoch = $2 and status = 'running' returning *",
  values: (p: Lease) => [p.runId, p.epoch],
  row: asRun,
});

/** The oldest due blocked run becomes the head, when the thread has none. It starts from the thread's epoch. */
export const promoteNext = query({
  name: "settle.promote",
  prepared: true,
  text: `
with head as (
  update holdfast.runs r
     set status = 'queued', epoch = t.epoch, available_at = greatest(r.available_at, holdfast.now()),
         updated_at = holdfast.now()
    from holdfast.threads t
   where t.thread_id = $1 and r.thread_id = $1 and r.status = 'blocked'
     and r.run_id = (select b.run_id from holdfast.runs b
                      where b.thread_id = $1 and b.status = 'blocked' and b.available_at <= holdfast.now()
                      order by b.seq limit 1)
     and not exists (select 1 from holdfast.runs o where o.thread_id = $1 and o.status in ('queued', 'running'))
  returning r.run_id, r.graph_id
), busy as (
  update holdfast.threads t set status = 'busy', graph_id = head.graph_id from head where t.thread_id = $1
)
select run_id from head`,
  values: (p: { threadId: string }) => [p.threadId],
  row: (raw) => raw.run_id as string,
});

export const recordAttempt = query({
  name: "settle.attempt",
  prepared: true,
  text: `
insert into holdfast.run_attempts (run_id, epoch, attempt, worker_id, outcome, error, retry_at, started_at)
values ($1, $2, $3, $4, $5, $6, holdfast.now() + $7 * interval '1 millisecond', $8) on conflict do nothing`,
  values: (
    p: Lease & {
      attempt: number;
      workerId: string | null;
      outcome: string;
      error: unknown;
      delayMs: number | null;
      startedAt: Date | null;
    },
  ) => [
    p.runId,
    p.epoch,
    p.attempt,
    p.workerId,
    p.outcome,
    p.error === null ? null : JSON.stringify(p.error),
    p.delayMs,
    p.startedAt,
  ],
  row: () => true,
});

/** Whether this holder's outcome is stored: the answer to its commit may have been lost. */
export const attemptRecorded = query({
  name: "settle.recorded",
  text: "select 1 from holdfast.run_attempts where run_id = $1 and epoch = $2 and outcome = $3",
  values: (p: Lease & { outcome: string }) => [p.runId, p.epoch, p.outcome],
  row: () => true,
});

/** No later run of the thread begins below the epochs of one that ended: a thread lags behind a crashed run. */
export const raiseEpoch = query({
  name: "settle.raise_epoch",
  text: `update holdfast.threads set epoch = greatest(epoch, $2) where thread_id = $1 returning epoch`,
  values: (p: { threadId: string; epoch: number }) => [p.threadId, p.epoch],
  row: (raw) => raw.epoch as number,
});

/** The thread's view after an attempt. A null keeps what is there; raise the epoch before promoting. */
export const settleThread = query({
  name: "settle.thread",
  prepared: true,
  text: `
update holdfast.threads t
   set epoch = greatest(t.epoch, $2), updated_at = holdfast.now(),
       state_updated_at = case when $3::text is null then t.state_updated_at else holdfast.now() end,
       "values" = coalesce($3, t."values"), interrupts = coalesce($4, t.interrupts),
       error = $5, graph_version = case when $8::boolean then $6 else t.graph_version end,
       status = coalesce($7, case when exists (select 1 from holdfast.escalations e
                                                where e.thread_id = $1 and e.status = 'open' and not e.compensation) then 'interrupted' else 'idle' end)
 where t.thread_id = $1 returning t.thread_id`,
  values: (p: {
    threadId: string;
    epoch: number;
    values: string | null;
    interrupts: string | null;
    error: string | null;
    /** The graph that parked the thread, null when it does not wait; undefined keeps what is there. */
    graphVersion: string | null | undefined;
    /** Null: as the thread's open questions say. */
    status: "idle" | "interrupted" | "error" | "busy" | null;
  }) => [
    p.threadId,
    p.epoch,
    p.values,
    p.interrupts,
    p.error,
    p.graphVersion ?? null,
    p.status,
    p.graphVersion !== undefined,
  ],
  row: (raw) => raw.thread_id as string,
});

/** Leases that ran out. Not while Postgres has just come back: holders get one lease to renew. Ordered by thread. */
export const expiredLeases = query({
  name: "reap.expired",
  text: `
select r.*, ${progressed} as progressed
  from holdfast.runs r
 where status = 'running' and lease_until < holdfast.now()
   and ($1::boolean or pg_postmaster_start_time() < clock_timestamp() - $2 * interval '1 second')
 order by thread_id limit $3`,
  values: (p: { ignoreRestart: boolean; graceSeconds: number; limit: number }) => [
    p.ignoreRestart,
    p.graceSeconds,
    p.limit,
  ],
  row: (raw) => ({ run: asRun(raw), progressed: raw.progressed as boolean }),
});

/** Threads whose next run is due and which have no head: a delayed run came due, or a promotion was lost. */
export const headless = query({
  name: "reap.headless",
  text: `
select distinct b.thread_id, b.tenant from holdfast.runs b
 where b.status = 'blocked' and b.available_at <= holdfast.now() and ($1::boolean or b.delayed)
   and not exists (select 1 from holdfast.runs o where o.thread_id = b.thread_id and o.status in ('queued', 'running'))
 limit $2`,
  values: (p: { all: boolean; limit: number }) => [p.all, p.limit],
  row: (raw) => ({ threadId: raw.thread_id as string, tenant: raw.tenant as string }),
});

/** The run when this holder's lease has really run out, seen again under the thread's lock; it cannot be renewed any more. */
export const holdExpired = query({
  name: "reap.hold_expired",
  text: `
select * from holdfast.runs
 where run_id = $1 and epoch = $2 and status = 'running' and lease_until < holdfast.now() for no key update`,
  values: (p: Lease) => [p.runId, p.epoch],
  row: asRun,
});
