// Every write to LangGraph's tables. Each one names its holder in a CTE and inserts nothing when that holder is gone.
import type { PendingEvent } from "../../domain/event.ts";
import { query } from "../query.ts";

export interface CheckpointRow {
  thread_id: string;
  checkpoint_ns: string;
  checkpoint_id: string;
  parent_checkpoint_id: string | null;
  checkpoint: { v: number; channel_versions: Record<string, number | string> } & Record<string, unknown>;
  metadata: unknown;
  channel_values: [Uint8Array, Uint8Array, Uint8Array][] | null;
  pending_writes: [Uint8Array, Uint8Array, Uint8Array, Uint8Array][] | null;
  /** Null when the stock saver wrote it. */
  epoch: number | null;
}

export interface EventColumns {
  firstSeq: number;
  attempt: number;
  events: readonly PendingEvent[];
}

export interface PutParams {
  /** Null when an API write holds the thread's own lock and epoch. */
  runId: string | null;
  threadId: string;
  epoch: number;
  ns: string;
  checkpointId: string;
  parentId: string | null;
  checkpoint: string;
  metadata: string;
  blobs: { channel: string; version: string; type: string; blob: Uint8Array | null }[];
  batch: EventColumns;
}

export interface WriteRow {
  taskId: string;
  idx: number;
  channel: string;
  type: string;
  blob: Uint8Array;
}

export interface WritesParams {
  runId: string | null;
  threadId: string;
  epoch: number;
  ns: string;
  checkpointId: string;
  writes: WriteRow[];
  /** Special channels (resume, interrupt, error) replace an older row; others keep the first. */
  replace: boolean;
  batch: EventColumns;
}

const leaseOfRun = `select run_id, epoch from holdfast.runs
   where run_id = $1 and thread_id = $2::text::uuid and epoch = $3 and status = 'running' for share`;
const leaseOfThread = `select $1::uuid as run_id, epoch from holdfast.threads
   where thread_id = $2::text::uuid and epoch = $3 for share`;

const insertEvents = (from: number): string => `
  insert into holdfast.run_events (run_id, seq, attempt, step, event, data)
  select lease.run_id, $${from}::int + e.n::int - 1, $${from + 1}::int, e.step, e.event, e.data
    from unnest($${from + 2}::int[], $${from + 3}::text[], $${from + 4}::text[]) with ordinality as e (step, event, data, n), lease
  on conflict (run_id, seq) do nothing`;

export const eventValues = ({ firstSeq, attempt, events }: EventColumns): unknown[] => [
  firstSeq,
  attempt,
  events.map((e) => e.step),
  events.map((e) => e.event),
  events.map((e) => e.data),
];

const putText = (lease: string): string => `
with lease as materialized (${lease}), blobs as (
  insert into public.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
  select $2, $4, b.channel, b.version, b.type, b.blob
    from unnest($9::text[], $10::text[], $11::text[], $12::bytea[]) as b (channel, version, type, blob), lease
  on conflict do nothing
), checkpoint as (
  insert into public.checkpoints
         (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, run_id, epoch)
  select $2, $4, $5, $6, $7::jsonb, $8::jsonb, lease.run_id, lease.epoch from lease
  on conflict (thread_id, checkpoint_ns, checkpoint_id)
  do update set checkpoint = excluded.checkpoint, metadata = excluded.metadata
), events as (${insertEvents(13)})
select epoch from lease`;

const putValues = (p: PutParams): unknown[] => [
  p.runId,
  p.threadId,
  p.epoch,
  p.ns,
  p.checkpointId,
  p.parentId,
  p.checkpoint,
  p.metadata,
  p.blobs.map((b) => b.channel),
  p.blobs.map((b) => b.version),
  p.blobs.map((b) => b.type),
  p.blobs.map((b) => (b.blob === null ? null : asBuffer(b.blob))),
  ...eventValues(p.batch),
];

const writesText = (lease: string): string => `
with lease as materialized (${lease}), w as (
  select * from unnest($6::text[], $7::int[], $8::text[], $9::text[], $10::bytea[]) as w (task_id, idx, channel, type, blob)
), replaced as (
  insert into holdfast.replaced_writes (run_id, thread_id, checkpoint_ns, checkpoint_id, task_id, idx,
                                        channel, type, blob, owner_run_id, owner_epoch)
  select lease.run_id, o.thread_id, o.checkpoint_ns, o.checkpoint_id, o.task_id, o.idx,
         o.channel, o.type, o.blob, o.run_id, o.epoch
    from public.checkpoint_writes o join w using (task_id, idx), lease
   where $11::boolean and o.thread_id = $2 and o.checkpoint_ns = $4 and o.checkpoint_id = $5
     and lease.run_id is not null and o.run_id is distinct from lease.run_id
  on conflict do nothing
), written as (
  insert into public.checkpoint_writes as t
         (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch)
  select $2, $4, $5, w.task_id, w.idx, w.channel, w.type, w.blob, lease.run_id, lease.epoch from w, lease
  on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
  do update set channel = excluded.channel, type = excluded.type, blob = excluded.blob,
                run_id = excluded.run_id, epoch = excluded.epoch
   where $11::boolean
), events as (${insertEvents(12)})
select epoch from lease`;

const writesValues = (p: WritesParams): unknown[] => [
  p.runId,
  p.threadId,
  p.epoch,
  p.ns,
  p.checkpointId,
  p.writes.map((w) => w.taskId),
  p.writes.map((w) => w.idx),
  p.writes.map((w) => w.channel),
  p.writes.map((w) => w.type),
  p.writes.map((w) => asBuffer(w.blob)),
  p.replace,
  ...eventValues(p.batch),
];

const epochOf = (raw: Record<string, unknown>): number => raw.epoch as number;

/** Zero rows: the lease is gone and nothing was written. Safe to repeat. */
export const putAsRun = query({
  name: "checkpoint.put",
  text: putText(leaseOfRun),
  values: putValues,
  row: epochOf,
});

export const putAsThread = query({
  name: "checkpoint.put_by_api",
  text: putText(leaseOfThread),
  values: putValues,
  row: epochOf,
});

export const writeAsRun = query({
  name: "checkpoint.write",
  text: writesText(leaseOfRun),
  values: writesValues,
  row: epochOf,
});

export const writeAsThread = query({
  name: "checkpoint.write_by_api",
  text: writesText(leaseOfThread),
  values: writesValues,
  row: epochOf,
});

const selectTuple = `
select cp.thread_id, cp.checkpoint_ns, cp.checkpoint_id, cp.parent_checkpoint_id, cp.checkpoint, cp.metadata, cp.epoch,
  (select array_agg(array[bl.channel::bytea, bl.type::bytea, bl.blob])
     from jsonb_each_text(cp.checkpoint -> 'channel_versions') v
     join public.checkpoint_blobs bl
       on bl.thread_id = cp.thread_id and bl.checkpoint_ns = cp.checkpoint_ns and bl.channel = v.key and bl.version = any (array[v.value, holdfast.stock_version(v.value)])
  ) as channel_values,
  (select array_agg(array[cw.task_id::bytea, cw.channel::bytea, cw.type::bytea, cw.blob] order by cw.task_id, cw.idx)
     from public.checkpoint_writes cw
    where cw.thread_id = cp.thread_id and cw.checkpoint_ns = cp.checkpoint_ns and cw.checkpoint_id = cp.checkpoint_id
  ) as pending_writes
from public.checkpoints cp`;

const tupleRow = (raw: Record<string, unknown>): CheckpointRow => raw as unknown as CheckpointRow;

/** The named checkpoint, or the latest by our own order: never by checkpoint id, which holds a worker's clock. */
export const getCheckpoint = query({
  name: "checkpoint.get",
  text: `${selectTuple}
 where cp.thread_id = $1 and cp.checkpoint_ns = $2 and ($3::text is null or cp.checkpoint_id = $3)
 order by cp.seq desc limit 1`,
  values: (p: { threadId: string; ns: string; checkpointId: string | null }) => [
    p.threadId,
    p.ns,
    p.checkpointId,
  ],
  row: tupleRow,
});

/** Newest first. `metadata` is matched by containment; keys of a client never reach the statement's text. */
export const listCheckpoints = query({
  name: "checkpoint.list",
  text: `${selectTuple}
 where ($1::text is null or cp.thread_id = $1)
   and ($2::text is null or cp.checkpoint_ns = $2)
   and ($3::text is null or cp.checkpoint_id = $3)
   and ($4::jsonb is null or cp.metadata @> $4::jsonb)
   and ($5::text is null or cp.seq < (select b.seq from public.checkpoints b
         where b.checkpoint_id = $5 and b.checkpoint_ns = cp.checkpoint_ns and b.thread_id = cp.thread_id))
 order by cp.seq desc limit $6`,
  values: (p: {
    threadId: string | null;
    ns: string | null;
    checkpointId: string | null;
    metadata: string | null;
    beforeId: string | null;
    limit: number;
  }) => [p.threadId, p.ns, p.checkpointId, p.metadata, p.beforeId, p.limit],
  row: tupleRow,
});

/** Sends of a checkpoint that a saver older than format 4 kept on its parent. */
export const parentSends = query({
  name: "checkpoint.parent_sends",
  text: `select array_agg(array[cw.type::bytea, cw.blob] order by cw.task_id, cw.idx) as sends
           from public.checkpoint_writes cw
          where cw.thread_id = $1 and cw.checkpoint_id = $2 and cw.channel = '__pregel_tasks'`,
  values: (p: { threadId: string; parentId: string }) => [p.threadId, p.parentId],
  row: (raw) => (raw.sends ?? []) as [Uint8Array, Uint8Array][],
});

/** Whether this run has committed a checkpoint of its own at the root: then its input is applied. */
export const hasOwnCheckpoint = query({
  name: "checkpoint.own",
  text: "select 1 from public.checkpoints where run_id = $1 and checkpoint_ns = '' limit 1",
  values: (p: { runId: string }) => [p.runId],
  row: () => true,
});

/** One statement: the answers on their tasks' checkpoints, and the mark that this run's input is applied. */
export const applyInput = query({
  name: "checkpoint.apply_input",
  text: `
with lease as materialized (${leaseOfRun}), w as (
  select * from unnest($4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[], $10::bytea[])
             as w (checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob)
), replaced as (
  insert into holdfast.replaced_writes (run_id, thread_id, checkpoint_ns, checkpoint_id, task_id, idx,
                                        channel, type, blob, owner_run_id, owner_epoch)
  select lease.run_id, o.thread_id, o.checkpoint_ns, o.checkpoint_id, o.task_id, o.idx,
         o.channel, o.type, o.blob, o.run_id, o.epoch
    from public.checkpoint_writes o join w using (checkpoint_ns, checkpoint_id, task_id, idx), lease
   where o.thread_id = $2 and o.run_id is distinct from lease.run_id
  on conflict do nothing
), written as (
  insert into public.checkpoint_writes
         (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch)
  select $2, w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx, w.channel, w.type, w.blob, lease.run_id, lease.epoch
    from w, lease
  on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
  do update set channel = excluded.channel, type = excluded.type, blob = excluded.blob,
                run_id = excluded.run_id, epoch = excluded.epoch
), marked as (
  update holdfast.runs r set input_applied = true from lease where r.run_id = lease.run_id and r.status = 'running'
)
select epoch from lease`,
  values: (p: {
    runId: string;
    threadId: string;
    epoch: number;
    writes: (WriteRow & { ns: string; checkpointId: string })[];
  }) => [
    p.runId,
    p.threadId,
    p.epoch,
    p.writes.map((w) => w.ns),
    p.writes.map((w) => w.checkpointId),
    p.writes.map((w) => w.taskId),
    p.writes.map((w) => w.idx),
    p.writes.map((w) => w.channel),
    p.writes.map((w) => w.type),
    p.writes.map((w) => asBuffer(w.blob)),
  ],
  row: epochOf,
});

/** Events alone, for tokens between two steps. */
export const insertEventsAsRun = query({
  name: "events.insert",
  text: `with lease as materialized (${leaseOfRun}), events as (${insertEvents(4)}) select epoch from lease`,
  values: (p: { runId: string; threadId: string; epoch: number; batch: EventColumns }) => [
    p.runId,
    p.threadId,
    p.epoch,
    ...eventValues(p.batch),
  ],
  row: epochOf,
});

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
  text: `with w as (delete from public.checkpoint_writes where run_id = $1 returning 1),
              c as (delete from public.checkpoints where run_id = $1 returning 1)
         select (select count(*) from w) as writes, (select count(*) from c) as checkpoints`,
  values: (p: { runId: string }) => [p.runId],
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

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
