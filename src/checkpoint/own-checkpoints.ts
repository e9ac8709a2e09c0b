import type { CheckpointRow } from "../db/queries/checkpoint-reads.ts";
import { ownType } from "../db/queries/parts.ts";
import type { KnownValue } from "./text-memory.ts";

type Stored = CheckpointRow["channel_values"][number];

/** A checkpoint of the root, in stored form. */
interface Kept {
  threadId: string;
  checkpointId: string;
  parentId: string | null;
  epoch: number;
  checkpoint: string;
  metadata: string;
  /** Its new long values as LangGraph gave them, by channel. */
  given: ReadonlyMap<string, unknown>;
}

/** One that this saver has committed. */
export interface OwnCheckpoint extends Kept {
  ns: string;
  blobs: readonly { channel: string; version: string; type: string; blob: Uint8Array | null }[];
  /** The values among them that are kept in parts. */
  long: readonly KnownValue[];
}

/** Only the root's are kept: of subgraphs there may be any number, and nobody asks for their last ones. */
const isRoot = (ns: string): boolean => ns === "";

/**
 * The last checkpoint that one saver committed at the root of its thread, so that an attempt need not ask Postgres at
 * its end for what it wrote a moment before. In stored form, since graph code may change its objects after a step.
 * While the fence holds nobody else writes to the thread, and once it does not, nothing that was read here is kept.
 */
export class OwnCheckpoints {
  #last: Kept | undefined;
  /** By channel: its version, of which there is one, and the value. */
  readonly #values = new Map<string, { version: string; stored: Stored }>();
  /** The greatest id of a checkpoint that tasks have written to: those beyond it have no writes. */
  #writtenTo = "";

  /** What was read, which a later checkpoint may still hold. */
  learn({ checkpoint_ns: ns, checkpoint, channel_values: values }: CheckpointRow): void {
    if (!isRoot(ns)) return;
    for (const stored of values) {
      const channel = stored[0].toString();
      const version = checkpoint.channel_versions[channel];
      if (version !== undefined) this.#values.set(channel, { version: String(version), stored });
    }
  }

  committed(own: OwnCheckpoint): void {
    if (!isRoot(own.ns)) return;
    for (const { channel, version, type, blob } of own.blobs) {
      const stored: Stored = [Buffer.from(channel), Buffer.from(type), blob === null ? null : bufferOf(blob)];
      this.#values.set(channel, { version, stored });
    }
    for (const { channel, version, text } of own.long) {
      this.#values.set(channel, { version, stored: [Buffer.from(channel), Buffer.from(ownType), text] });
    }
    const { threadId, checkpointId, parentId, epoch, checkpoint, metadata, given } = own;
    this.#last = { threadId, checkpointId, parentId, epoch, checkpoint, metadata, given };
  }

  /** Before another checkpoint of the namespace is sent. */
  leave(ns: string): void {
    if (isRoot(ns)) this.#last = undefined;
  }

  /** Before tasks write to a checkpoint: only Postgres knows what there is then. LangGraph need not have waited for the checkpoint. */
  writesTo(ns: string, checkpointId: string): void {
    if (isRoot(ns) && checkpointId > this.#writtenTo) this.#writtenTo = checkpointId;
  }

  /** The latest checkpoint, or the one named, as it is stored; undefined where that has to be read. */
  row(ns: string, checkpointId: string | undefined): CheckpointRow | undefined {
    const own = this.#lastOf(ns, checkpointId);
    if (own === undefined) return undefined;
    const checkpoint: CheckpointRow["checkpoint"] = JSON.parse(own.checkpoint);
    const values: Stored[] = [];
    for (const [channel, version] of Object.entries(checkpoint.channel_versions)) {
      const known = this.#values.get(channel);
      if (known?.version !== String(version)) return undefined;
      values.push(known.stored);
    }
    return {
      thread_id: own.threadId,
      checkpoint_ns: ns,
      checkpoint_id: own.checkpointId,
      parent_checkpoint_id: own.parentId,
      checkpoint,
      metadata: JSON.parse(own.metadata),
      channel_values: values,
      pending_writes: [],
      epoch: own.epoch,
    };
  }

  /** Of the values of that row those that LangGraph gave for it, as they are now: no task has run on it, or it would have written. */
  given(ns: string, checkpointId: string): ReadonlyMap<string, unknown> {
    return this.#lastOf(ns, checkpointId)?.given ?? new Map();
  }

  #lastOf(ns: string, checkpointId: string | undefined): Kept | undefined {
    const own = this.#last;
    if (!isRoot(ns) || own === undefined || own.checkpointId <= this.#writtenTo) return undefined;
    return checkpointId === undefined || checkpointId === own.checkpointId ? own : undefined;
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
