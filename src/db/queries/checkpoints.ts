// Removing checkpoints: a thread's, or all that one run wrote. The caller holds the thread's lock.
import { query } from "../query.ts";

const threadParam = (p: { threadId: string }): unknown[] => [p.threadId];

/** All checkpoints of a thread, in one statement; the caller holds the thread's lock. */
export const deleteCheckpoints = query({
  name: "checkpoint.delete_thread",
  text: `with a as (delete from public.checkpoint_writes where thread_id = $1),
              b as (delete from public.checkpoint_blobs where thread_id = $1)
         delete from public.checkpoints where thread_id = $1`,
  values: threadParam,
  row: () => true,
});

/** All that a run wrote: its checkpoints, its writes on older checkpoints; what those replaced comes back. */
export const rollbackCheckpoints = query({
  name: "checkpoint.rollback",
  text: `with w as (delete from public.checkpoint_writes where thread_id = $2 and run_id = $1 returning 1),
              c as (delete from public.checkpoints where thread_id = $2 and run_id = $1 returning 1)
         select (select count(*) from w) as writes, (select count(*) from c) as checkpoints`,
  values: (p: { runId: string; threadId: string }) => [p.runId, p.threadId],
  row: (raw) => ({ writes: raw.writes as number, checkpoints: raw.checkpoints as number }),
});

export const restoreReplacedWrites = query({
  name: "checkpoint.restore_replaced",
  text: `insert into public.checkpoint_writes
           (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch)
         select thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, owner_run_id, owner_epoch
           from holdfast.replaced_writes where run_id = $1
         on conflict do nothing`,
  values: (p: { runId: string }) => [p.runId],
  row: () => true,
});
