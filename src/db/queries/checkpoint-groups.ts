// Many runs' writes in one statement. Each item names its own holder; an item whose lease is gone writes nothing and
// is missing from the answer, the others are untouched by that.
import type { Part } from "../../domain/parts.ts";
import { query } from "../query.ts";
import { asBuffer, type EventColumns, type PutParams, type WritesParams } from "./checkpoint-writes.ts";

/** A step's checkpoint. */
export type StepRow = Omit<PutParams, "runId" | "threadId" | "epoch" | "batch">;

/** What one run writes at once: a task's writes, the checkpoint of a step, or both. */
export interface GroupItem extends Omit<WritesParams, "runId"> {
  runId: string;
  /** In the order in which they were made. */
  puts: readonly StepRow[];
}

type Column = unknown[];

/** Arrays of equal length, one for each column. */
function columns(count: number): Column[] {
  return Array.from({ length: count }, () => []);
}

function push(into: Column[], values: readonly unknown[]): void {
  values.forEach((value, at) => {
    into[at]?.push(value);
  });
}

const itemColumns = 4;
const checkpointColumns = 6;
const blobColumns = 6;
const writeColumns = 9;
const eventColumns = 6;
const partColumns = 3;

/** Parts that an item sends. */
export const partsOf = ({ puts, batch }: GroupItem): Part[] => [
  ...puts.flatMap(({ parts }) => parts),
  ...batch.parts,
];

function partValues(items: readonly GroupItem[]): unknown[] {
  const parts = columns(partColumns);
  items.forEach((item, n) => {
    for (const { hash, data } of partsOf(item)) push(parts, [n, hash, data]);
  });
  return parts;
}

function groupValues(items: readonly GroupItem[]): unknown[] {
  const holders = columns(itemColumns);
  const checkpoints = columns(checkpointColumns);
  const blobs = columns(blobColumns);
  const writes = columns(writeColumns);
  const events = columns(eventColumns);
  items.forEach((item, n) => {
    push(holders, [n, item.runId, item.threadId, item.epoch]);
    for (const { ns, checkpointId, parentId, checkpoint, metadata, blobs: values } of item.puts) {
      push(checkpoints, [n, ns, checkpointId, parentId, checkpoint, metadata]);
      for (const { channel, version, type, blob } of values)
        push(blobs, [n, ns, channel, version, type, blob === null ? null : asBuffer(blob)]);
    }
    for (const w of item.writes) {
      const place = [w.ns, w.checkpointId, w.taskId, w.idx];
      push(writes, [n, item.replace, ...place, w.channel, w.type, asBuffer(w.blob)]);
    }
    pushEvents(events, n, item.batch);
  });
  return [...holders, items.length, ...checkpoints, ...blobs, ...writes, ...events];
}

function pushEvents(into: Column[], n: number, { firstSeq, events, attempt }: EventColumns): void {
  events.forEach((event, at) => {
    push(into, [n, firstSeq + at, attempt, event.step, event.event, event.data]);
  });
}

const groupText = (also = ""): string => `
with lease as materialized (
  select k.item, r.run_id, r.thread_id::text as thread_id, r.epoch
    from (select * from unnest($1::int[], $2::uuid[], $3::uuid[], $4::bigint[]) as k (item, run_id, thread_id, epoch) limit $5) k
    join holdfast.runs r on r.run_id = k.run_id and r.thread_id = k.thread_id and r.epoch = k.epoch
   -- By their keys: with the bare column, and a limit that is not told, it would read all running runs.
   where r.status || '' = 'running' order by r.run_id for share of r
), blobs as (
  insert into public.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
  select lease.thread_id, b.ns, b.channel, b.version, b.type, b.blob
    from unnest($12::int[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bytea[])
         as b (item, ns, channel, version, type, blob) join lease using (item)
  on conflict do nothing
), checkpoint as (
  insert into public.checkpoints
         (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, run_id, epoch)
  select lease.thread_id, c.ns, c.checkpoint_id, c.parent_id, c.checkpoint, c.metadata, lease.run_id, lease.epoch
    from unnest($6::int[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::jsonb[]) with ordinality
         as c (item, ns, checkpoint_id, parent_id, checkpoint, metadata, n) join lease using (item)
   -- Their seq is given in this order; the latest of a thread is the one with the greatest.
   order by c.n
  on conflict (thread_id, checkpoint_ns, checkpoint_id)
  do update set checkpoint = excluded.checkpoint, metadata = excluded.metadata
), w as (
  select lease.thread_id, lease.run_id, lease.epoch, w.*
    from unnest($18::int[], $19::boolean[], $20::text[], $21::text[], $22::text[], $23::int[], $24::text[], $25::text[], $26::bytea[])
         as w (item, replace, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob) join lease using (item)
), replaced as (
  insert into holdfast.replaced_writes (run_id, thread_id, checkpoint_ns, checkpoint_id, task_id, idx,
                                        channel, type, blob, owner_run_id, owner_epoch)
  select w.run_id, o.thread_id, o.checkpoint_ns, o.checkpoint_id, o.task_id, o.idx,
         o.channel, o.type, o.blob, o.run_id, o.epoch
    from w join public.checkpoint_writes o using (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
   where w.replace and o.run_id is distinct from w.run_id
  on conflict do nothing
), kept as (
  insert into public.checkpoint_writes
         (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch)
  select thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch
    from w where not replace
  on conflict do nothing
), rewritten as (
  insert into public.checkpoint_writes
         (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch)
  select thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, run_id, epoch
    from w where replace
  on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
  do update set channel = excluded.channel, type = excluded.type, blob = excluded.blob,
                run_id = excluded.run_id, epoch = excluded.epoch
), events as (
  insert into holdfast.run_events (run_id, seq, attempt, step, event, data)
  select lease.run_id, e.seq, e.attempt, e.step, e.event, e.data
    from unnest($27::int[], $28::int[], $29::int[], $30::int[], $31::text[], $32::text[])
         as e (item, seq, attempt, step, event, data) join lease using (item)
  on conflict (run_id, seq) do nothing
)${also}
select item from lease`;

/** The indexes of the items that were written. Safe to repeat. */
export const writeGroup = query({
  name: "checkpoint.group",
  // Its columns are spelled out, so a new one in a later schema does not break the plan of a running process.
  prepared: true,
  text: groupText(),
  values: groupValues,
  row: (raw) => raw.item as number,
});

/** The same, where an item sends parts. */
export const writeGroupWithParts = query({
  name: "checkpoint.group_parts",
  prepared: true,
  text: groupText(`, parts as (
  insert into holdfast.parts (thread_id, hash, data)
  select lease.thread_id::uuid, p.hash, p.data
    from unnest($33::int[], $34::text[], $35::text[]) as p (item, hash, data) join lease using (item)
  on conflict do nothing
)`),
  values: (items: readonly GroupItem[]) => [...groupValues(items), ...partValues(items)],
  row: (raw) => raw.item as number,
});
