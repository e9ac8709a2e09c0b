// Every write of a run's state. Each one names its holder in a CTE and inserts nothing when that holder is gone.
import type { PendingEvent } from "../../domain/event.ts";
import type { Part } from "../../domain/parts.ts";
import { query } from "../query.ts";

export interface EventColumns {
  firstSeq: number;
  attempt: number;
  events: readonly PendingEvent[];
  parts: readonly Part[];
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
  /** Those that the blobs name and that are not stored yet. */
  parts: readonly Part[];
  batch: EventColumns;
}

/** One pending write, and the checkpoint it belongs to. */
export interface WriteRow {
  ns: string;
  checkpointId: string;
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

const insertParts = (from: number): string => `
  insert into holdfast.parts (thread_id, hash, data)
  select $2::text::uuid, p.hash, p.data from unnest($${from}::text[], $${from + 1}::text[]) as p (hash, data), lease
  on conflict do nothing`;

const partValues = (parts: readonly Part[]): unknown[] => [
  parts.map(({ hash }) => hash),
  parts.map(({ data }) => data),
];

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
), events as (${insertEvents(13)}), parts as (${insertParts(18)})
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
  ...partValues([...p.parts, ...p.batch.parts]),
];

/** `also` is one more CTE that hangs on the lease. What a run replaces of another's is kept for its rollback. */
const writesText = (lease: string, also = ""): string => `
with lease as materialized (${lease}), w as (
  select * from unnest($4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[], $10::bytea[])
             as w (checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob)
), replaced as (
  insert into holdfast.replaced_writes (run_id, thread_id, checkpoint_ns, checkpoint_id, task_id, idx,
                                        channel, type, blob, owner_run_id, owner_epoch)
  select lease.run_id, o.thread_id, o.checkpoint_ns, o.checkpoint_id, o.task_id, o.idx,
         o.channel, o.type, o.blob, o.run_id, o.epoch
    from public.checkpoint_writes o join w using (checkpoint_ns, checkpoint_id, task_id, idx), lease
   where $11::boolean and o.thread_id = $2 and lease.run_id is not null and o.run_id is distinct from lease.run_id
  on conflict do nothing
), written as (
  insert into public.checkpoint_writes
         (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch)
  select $2, w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx, w.channel, w.type, w.blob, lease.run_id, lease.epoch
    from w, lease
  on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
  do update set channel = excluded.channel, type = excluded.type, blob = excluded.blob,
                run_id = excluded.run_id, epoch = excluded.epoch
   where $11::boolean
), events as (${insertEvents(12)}), parts as (${insertParts(17)})${also}
select epoch from lease`;

const writesValues = (p: WritesParams): unknown[] => [
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
  p.replace,
  ...eventValues(p.batch),
  ...partValues(p.batch.parts),
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

/** One statement: the answers on their tasks' checkpoints, and the mark that this run's input is applied. */
export const applyInput = query({
  name: "checkpoint.apply_input",
  text: writesText(
    leaseOfRun,
    `, marked as (
  update holdfast.runs r set input_applied = true from lease where r.run_id = lease.run_id and r.status = 'running'
)`,
  ),
  values: writesValues,
  row: epochOf,
});

export const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
