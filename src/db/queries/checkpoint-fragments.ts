/** Whether a run has committed a checkpoint of its own at the root of its thread, given as a uuid. */
export const hasRootCheckpoint = ({
  threadId,
  runId,
}: {
  threadId: string;
  runId: string;
}): string => `exists (
  select 1 from public.checkpoints c
   where c.thread_id = (${threadId})::text and c.run_id = ${runId} and c.checkpoint_ns = '')`;
