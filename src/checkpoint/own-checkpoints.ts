import type { CheckpointRow } from "../db/queries/checkpoint-reads.ts";
import { ownType } from "../db/queries/parts.ts";
import type { KnownValue } from "./text-memory.ts";

type Stored = CheckpointRow["channel_values"][number];

/** A checkpoint that this saver committed, in stored form. */
export interface OwnCheckpoint {
  threadId: string;
  ns: string;
  checkpointId: string;
  parentId: string | null;
  epoch: number;
  checkpoint: string;
  metadata: string;
  blobs: readonly { channel: string; version: string; type: string; blob: Uint8Array | null }[];
  /** The values among them that are kept in parts. */
  long: readonly KnownValue[];
}

/**
 * The last checkpoint that one saver committed in each namespace of its thread, so that an attempt need not ask Postgres
 * at its end for what it wrote a moment before. In stored form, since graph code may change its objects after a step.
 * While the fence holds nobody else writes to the thread, and once it does not, nothing that was read here is kept.
 */
export class OwnCheckpoints {
  readonly #last = new Map<string, Omit<OwnCheckpoint, "blobs" | "long">>();
  /** By namespace and channel: its version, of which there is one, and the value. */
  readonly #values = new Map<string, { version: string; stored: Stored }>();
  /** By namespace, the greatest id of a checkpoint that tasks have written to: those beyond it have no writes. */
  readonly #writtenTo = new Map<string, string>();

  /** What was read, which a later checkpoint may still hold. */
  learn({ checkpoint_ns: ns, checkpoint, channel_values: values }: CheckpointRow): void {
    for (const stored of values) {
      const channel = stored[0].toString();
      const version = checkpoint.channel_versions[channel];
      if (version !== undefined) this.#values.set(keyOf(ns, channel), { version: String(version), stored });
    }
  }

  committed({ blobs, long, ...own }: OwnCheckpoint): void {
    this.#keepValues(own.ns, { blobs, long });
    this.#last.set(own.ns, own);
  }

  #keepValues(ns: string, { blobs, long }: Pick<OwnCheckpoint, "blobs" | "long">): void {
    for (const { channel, version, type, blob } of blobs) {
      const stored: Stored = [Buffer.from(channel), Buffer.from(type), blob === null ? null : bufferOf(blob)];
      this.#values.set(keyOf(ns, channel), { version, stored });
    }
    for (const { channel, version, text } of long) {
      const stored: Stored = [Buffer.from(channel), Buffer.from(ownType), text];
      this.#values.set(keyOf(ns, channel), { version, stored });
    }
  }

  /** Before another checkpoint of the namespace is sent. */
  leave(ns: string): void {
    this.#last.delete(ns);
  }

  /** Before tasks write to a checkpoint: only Postgres knows what there is then. LangGraph need not have waited for the checkpoint. */
  writesTo(ns: string, checkpointId: string): void {
    const before = this.#writtenTo.get(ns);
    if (before === undefined || checkpointId > before) this.#writtenTo.set(ns, checkpointId);
  }

  /** The latest checkpoint, or the one named, as it is stored; undefined where that has to be read. */
  row(ns: string, checkpointId: string | undefined): CheckpointRow | undefined {
    const own = this.#last.get(ns);
    if (own === undefined || own.checkpointId <= (this.#writtenTo.get(ns) ?? "")) return undefined;
    if (checkpointId !== undefined && checkpointId !== own.checkpointId) return undefined;
    const checkpoint: CheckpointRow["checkpoint"] = JSON.parse(own.checkpoint);
    const values: Stored[] = [];
    for (const [channel, version] of Object.entries(checkpoint.channel_versions)) {
      const known = this.#values.get(keyOf(ns, channel));
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
}

/** No channel's name is part of another key: a namespace has no NUL. */
const keyOf = (ns: string, channel: string): string => `${ns}\u0000${channel}`;

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
