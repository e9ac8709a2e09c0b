// What happens on a thread, in its order: runs by the epoch of their first claim, states written over HTTP by their own.
import { query } from "../query.ts";

/** The first run of a thread that was started after an epoch, or waits to be; and how far the thread has got. */
export const nextRun = query({
  name: "thread_stream.next_run",
  text: `
select t.epoch, r.run_id, r.first_epoch
  from holdfast.threads t
  left join lateral (
    select run_id, first_epoch from holdfast.runs
     where thread_id = t.thread_id and (first_epoch > $3 or status = 'queued' and first_epoch is null)
     order by first_epoch nulls last limit 1) r on true
 where t.thread_id = $1 and t.tenant = $2`,
  values: (p: { threadId: string; tenant: string; epoch: number }) => [p.threadId, p.tenant, p.epoch],
  row: (raw) => ({
    epoch: raw.epoch as number,
    runId: raw.run_id as string | null,
    firstEpoch: raw.first_epoch as number | null,
  }),
});

/** How far a thread has got: its epoch, or that of a run which works. */
export const lastEpoch = query({
  name: "thread_stream.last_epoch",
  text: `
select t.epoch, max(r.first_epoch) as started, max(r.first_epoch) filter (where r.finished_at is null) as open
  from holdfast.threads t left join holdfast.runs r on r.thread_id = t.thread_id and r.first_epoch is not null
 where t.thread_id = $1 and t.tenant = $2 group by t.epoch`,
  values: (p: { threadId: string; tenant: string }) => [p.threadId, p.tenant],
  row: (raw) => ({
    last: Math.max(raw.epoch as number, (raw.started as number | null) ?? 0),
    /** Of the run under way. */
    open: raw.open as number | null,
  }),
});

/** The run that was started at an epoch. */
export const runAt = query({
  name: "thread_stream.run_at",
  text: "select run_id from holdfast.runs where thread_id = $1 and tenant = $2 and first_epoch = $3",
  values: (p: { threadId: string; tenant: string; epoch: number }) => [p.threadId, p.tenant, p.epoch],
  row: (raw) => raw.run_id as string,
});

/** States that an API write has left on a thread after a place, and before a later run. */
export const updatesAfter = query({
  name: "thread_stream.updates",
  text: `
select epoch, n, checkpoint_id
  from (select c.epoch, c.checkpoint_id, c.seq, row_number() over (partition by c.epoch order by c.seq) - 1 as n
          from public.checkpoints c
         where c.thread_id = $1 and c.checkpoint_ns = '' and c.run_id is null and c.epoch >= $2
           and ($4::bigint is null or c.epoch < $4)) u
 where (epoch, n) > ($2::bigint, $3::bigint) order by seq limit $5`,
  values: (p: { threadId: string; epoch: number; n: number; before: number | null; limit: number }) => [
    p.threadId,
    p.epoch,
    p.n,
    p.before,
    p.limit,
  ],
  row: (raw) => ({
    epoch: raw.epoch as number,
    n: raw.n as number,
    checkpointId: raw.checkpoint_id as string,
  }),
});
