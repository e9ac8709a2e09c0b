import { query } from "../query.ts";
import { hasRootCheckpoint } from "./checkpoint-fragments.ts";
import { blobInParts, ownType } from "./parts.ts";

export interface CheckpointRow {
  thread_id: string;
  checkpoint_ns: string;
  checkpoint_id: string;
  parent_checkpoint_id: string | null;
  checkpoint: { v: number; channel_versions: Record<string, number | string> } & Record<string, unknown>;
  metadata: unknown;
  /** Channel, type and value. A value that was kept in parts is text. */
  channel_values: [Buffer, Buffer, Buffer | string | null][];
  /** Task, channel, type and value. */
  pending_writes: [Buffer, Buffer, Buffer, Buffer][];
  /** Null when the stock saver wrote it. */
  epoch: number | null;
}

const inParts = `bl.type = '${blobInParts}'`;

// In JSON, which is read a hundred times as fast as an array of bytes.
const selectTuple = (also = ""): string => `
select cp.thread_id, cp.checkpoint_ns, cp.checkpoint_id, cp.parent_checkpoint_id, cp.checkpoint, cp.metadata, cp.epoch,
  (select json_agg(json_build_array(bl.channel, case when ${inParts} then '${ownType}' else bl.type end,
                                    case when not ${inParts} then encode(bl.blob, 'hex') end,
                                    case when ${inParts} then holdfast.whole(cp.thread_id::uuid, convert_from(bl.blob, 'UTF8')) end))
     from jsonb_each_text(cp.checkpoint -> 'channel_versions') v
     join public.checkpoint_blobs bl
       on bl.thread_id = cp.thread_id and bl.checkpoint_ns = cp.checkpoint_ns and bl.channel = v.key and bl.version = any (array[v.value, holdfast.stock_version(v.value)])
    where true ${also}
  ) as channel_values,
  (select json_agg(json_build_array(cw.task_id, cw.channel, cw.type, encode(cw.blob, 'hex')) order by cw.task_id, cw.idx)
     from public.checkpoint_writes cw
    where cw.thread_id = cp.thread_id and cw.checkpoint_ns = cp.checkpoint_ns and cw.checkpoint_id = cp.checkpoint_id
      -- What failed an earlier attempt is no news of a task that has got further: LangGraph would hide its questions.
      and not (cw.channel = '__error__' and exists (
            select 1 from public.checkpoint_writes later
             where later.thread_id = cw.thread_id and later.checkpoint_ns = cw.checkpoint_ns
               and later.checkpoint_id = cw.checkpoint_id and later.task_id = cw.task_id and later.epoch > cw.epoch))
  ) as pending_writes
from public.checkpoints cp`;

type Told<Names extends string[]> = [...Names, hex: string | null];

function tupleRow(raw: Record<string, unknown>): CheckpointRow {
  const values = (raw.channel_values ?? []) as [...Told<[string, string]>, text: string | null][];
  const writes = (raw.pending_writes ?? []) as Told<[string, string, string]>[];
  return {
    ...(raw as unknown as CheckpointRow),
    channel_values: values.map(([channel, type, hex, text]) => [
      Buffer.from(channel),
      Buffer.from(type),
      text ?? (hex === null ? null : Buffer.from(hex, "hex")),
    ]),
    pending_writes: writes.map(([task, channel, type, hex]) => [
      Buffer.from(task),
      Buffer.from(channel),
      Buffer.from(type),
      Buffer.from(hex ?? "", "hex"),
    ]),
  };
}

/** Without the values that the caller knows, each as `channel version`. The named checkpoint, or the latest by our own order: never by checkpoint id, which holds a worker's clock. */
export const getCheckpoint = query({
  name: "checkpoint.get",
  prepared: true,
  text: `${selectTuple("and not v.key || ' ' || v.value = any($4::text[])")}
 where cp.thread_id = $1 and cp.checkpoint_ns = $2 and ($3::text is null or cp.checkpoint_id = $3)
 order by cp.seq desc limit 1`,
  values: (p: { threadId: string; ns: string; checkpointId: string | null; known?: readonly string[] }) => [
    p.threadId,
    p.ns,
    p.checkpointId,
    p.known ?? [],
  ],
  row: tupleRow,
});

/** What is said of a checkpoint, without what it holds. */
export const getCheckpointMetadata = query({
  name: "checkpoint.metadata",
  text: "select metadata from public.checkpoints where thread_id = $1 and checkpoint_ns = $2 and checkpoint_id = $3",
  values: (p: { threadId: string; ns: string; checkpointId: string }) => [p.threadId, p.ns, p.checkpointId],
  row: (raw) => raw.metadata as Record<string, unknown>,
});

/** Newest first. `metadata` is matched by containment; keys of a client never reach the statement's text. */
export const listCheckpoints = query({
  name: "checkpoint.list",
  text: `${selectTuple()}
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
  prepared: true,
  text: `select 1 where ${hasRootCheckpoint({ threadId: "$2::uuid", runId: "$1" })}`,
  values: (p: { runId: string; threadId: string }) => [p.runId, p.threadId],
  row: () => true,
});
