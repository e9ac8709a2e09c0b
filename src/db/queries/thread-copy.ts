// A copy of a thread: its row, its checkpoints, and the answers that its questions have had so far.
import { query } from "../query.ts";
import { manifestsOfBlobs, usedBy } from "./parts.ts";

/** What a copy would have to write, without reading it. */
export const bytesOfThread = query({
  name: "copy.bytes",
  text: `
select (coalesce((select sum(octet_length(blob)) from public.checkpoint_blobs where thread_id = $1), 0)
      + coalesce((select sum(octet_length(blob)) from public.checkpoint_writes where thread_id = $1), 0)
      + coalesce((select sum(octet_length(data)) from holdfast.parts where thread_id = $1::uuid), 0)
      + coalesce((select sum(pg_column_size(checkpoint) + pg_column_size(metadata))
                    from public.checkpoints where thread_id = $1), 0))::bigint as bytes`,
  values: (p: { threadId: string }) => [p.threadId],
  row: (raw) => raw.bytes as number,
});

/** The latest checkpoint of the root. */
export const latestCheckpoint = query({
  name: "copy.latest",
  text: `select checkpoint_id from public.checkpoints
          where thread_id = $1 and checkpoint_ns = '' order by seq desc limit 1`,
  values: (p: { threadId: string }) => [p.threadId],
  row: (raw) => raw.checkpoint_id as string,
});

/**
 * One statement, so one snapshot: a run that works meanwhile commits its steps before or after it, whole. The copy goes
 * on above every epoch that its rows carry.
 */
export const insertCopy = query({
  name: "copy.insert",
  text: `
with recursive ${usedBy(
    "$1::uuid",
    `${manifestsOfBlobs("$1::uuid")}
  union all select t."values" from holdfast.threads t where t.thread_id = $1 and left(t."values", 1) = '#'`,
  )}, parts as (
  insert into holdfast.parts (thread_id, hash, data)
  select $2, p.hash, p.data from holdfast.parts p
   where p.thread_id = $1 and exists (select 1 from used u where u.hash = p.hash)
), checkpoints as (
  insert into public.checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
                                  metadata, run_id, epoch)
  select $2::uuid::text, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
         case when metadata ? 'thread_id' then metadata || jsonb_build_object('thread_id', $2::uuid) else metadata end,
         run_id, epoch
    from public.checkpoints where thread_id = $1::uuid::text order by seq
  returning epoch
), blobs as (
  insert into public.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
  select $2::uuid::text, checkpoint_ns, channel, version, type, blob
    from public.checkpoint_blobs where thread_id = $1::uuid::text
), writes as (
  insert into public.checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob,
                                        run_id, epoch)
  select $2::uuid::text, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch
    from public.checkpoint_writes where thread_id = $1::uuid::text
  returning epoch
)
insert into holdfast.threads (thread_id, tenant, metadata, config, graph_id, graph_version, "values", ttl_minutes,
                              keep_latest_minutes, epoch)
select $2, tenant, metadata || jsonb_build_object('thread_id', $2::uuid), config, graph_id, graph_version, "values",
       ttl_minutes, keep_latest_minutes, greatest(epoch, (select max(epoch) from checkpoints), (select max(epoch) from writes))
  from holdfast.threads where thread_id = $1 and tenant = $3
returning epoch, "values" is not null as has_values`,
  values: (p: { threadId: string; copyId: string; tenant: string }) => [p.threadId, p.copyId, p.tenant],
  row: (raw) => ({ epoch: raw.epoch as number, hasValues: raw.has_values as boolean }),
});

/**
 * Questions that these tasks have asked before the ones they ask now: a later one finds the answers before it by their
 * places. They name no run that took their answers, for none of the copy's has.
 */
export const copyAnswers = query({
  name: "copy.answers",
  text: `
insert into holdfast.escalations (escalation_id, tenant, thread_id, run_id, graph_id, node, task_id, ordinal, interrupt_id,
  checkpoint_ns, checkpoint_id, payload, payload_digest, reasons, allowed_decisions, priority, status, decision,
  decided_by, decided_at)
select gen_random_uuid(), tenant, $2, run_id, graph_id, node, task_id, ordinal,
       left(encode(sha256(convert_to($2::uuid::text || '|' || task_id || '|' || ordinal::text, 'UTF8')), 'hex'), 32),
       checkpoint_ns, checkpoint_id, payload, payload_digest, reasons, allowed_decisions, priority, status, decision,
       decided_by, decided_at
  from holdfast.escalations e
 where thread_id = $1 and status in ('decided', 'expired')
   and ordinal < (select min(now.ordinal) from unnest($3::text[], $4::int[]) as now (task_id, ordinal)
                   where now.task_id = e.task_id)
returning escalation_id`,
  values: (p: { threadId: string; copyId: string; asking: { taskId: string; ordinal: number }[] }) => [
    p.threadId,
    p.copyId,
    p.asking.map(({ taskId }) => taskId),
    p.asking.map(({ ordinal }) => ordinal),
  ],
  row: (raw) => raw.escalation_id as string,
});
