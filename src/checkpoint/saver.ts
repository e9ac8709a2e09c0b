// Checkpoints that only the holder of a thread can write. This room stores and loads LangGraph's state; it decides
// nothing about runs. Read next: src/db/queries/checkpoint-writes.ts for the statements, serializer.ts for the values.
import type { RunnableConfig } from "@langchain/core/runnables";
import {
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  type PendingWrite,
  type SerializerProtocol,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import type { Database } from "../db/pool.ts";
import type { GroupItem } from "../db/queries/checkpoint-groups.ts";
import * as reads from "../db/queries/checkpoint-reads.ts";
import * as writes from "../db/queries/checkpoint-writes.ts";
import { deleteCheckpoints } from "../db/queries/checkpoints.ts";
import { one, type Queryable } from "../db/query.ts";
import { LeaseLost } from "../domain/errors.ts";
import { type EventBatch, noEvents, type StepEvents } from "../domain/event.ts";
import { failpoint } from "../observe/failpoint.ts";
import type { GroupCommit } from "./group-commit.ts";
import { type Aboard, Riders } from "./riders.ts";
import { strictSerializer } from "./serializer.ts";
import { nextVersion, withOurVersions } from "./versions.ts";

const listMax = 1_000;

/** Who writes: a run under its lease, or an API call that holds the thread's lock and its next epoch. */
export type Holder =
  | { kind: "run"; runId: string; threadId: string; epoch: number }
  | { kind: "thread"; threadId: string; epoch: number }
  | { kind: "reader" };

export interface SaverOptions {
  db: Database;
  /** Statements run here; the transaction of an API write, else the pool. */
  on?: Queryable;
  holder: Holder;
  events?: StepEvents;
  serializer?: SerializerProtocol;
  /** Refuses the commit of a step: for a look at what a parked node asks, which must go no further. */
  noSteps?: boolean;
  /** Kept with every checkpoint, so that history can be searched by it. */
  metadata?: Record<string, unknown>;
  /** Whether nobody has ever written a checkpoint of this thread: then there is nothing to read but what this one writes. */
  newThread?: boolean;
  /** Where a run's writes travel together with those of others; without it each one goes alone. */
  group?: GroupCommit;
  /** Repeats a statement whose outcome is unknown, and counts what the fence refused. */
  write?: <T>(kind: WriteKind, statement: () => Promise<T>) => Promise<T>;
}

export class StepRefused extends Error {
  override readonly name = "StepRefused";
}

export type WriteKind = "checkpoint" | "write" | "event" | "input" | "effect" | "journal" | "store" | "read";

/** The task that writes, and the checkpoint it runs on. */
export type WriteTarget = Pick<writes.WriteRow, "ns" | "checkpointId" | "taskId">;

type Row = reads.CheckpointRow;
type Owner = { runId: string | null; threadId: string; epoch: number };

/** PostgresSaver's tables and reading, with a write path that is fenced, ordered by our own seq, one statement each. */
export class FencedSaver extends PostgresSaver {
  readonly #on: Queryable;
  readonly #holder: Holder;
  readonly #events: StepEvents;
  readonly #noSteps: boolean;
  readonly #metadata: Record<string, unknown>;
  readonly #group: GroupCommit | undefined;
  readonly #riders = new Riders(() => this.#sendRiders());
  readonly #write: NonNullable<SaverOptions["write"]>;
  readonly #newThread: boolean;
  readonly #written = new Set<string>();

  constructor(options: SaverOptions) {
    const { db, on, holder, events, serializer, write, metadata, noSteps, group, newThread } = options;
    super(db.pool, serializer ?? strictSerializer);
    this.#on = on ?? db;
    this.#holder = holder;
    this.#events = events ?? noEvents;
    this.#metadata = metadata ?? {};
    this.#noSteps = noSteps ?? false;
    this.#group = group;
    this.#newThread = newThread ?? false;
    this.#write = write ?? ((_kind, statement) => statement());
  }

  // The stock loader takes any version; in text form "10" would sort before "9".
  override getNextVersion(current: number | string | undefined): number {
    return nextVersion(current) as unknown as number;
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const {
      thread_id: threadId,
      checkpoint_ns: ns = "",
      checkpoint_id: checkpointId,
    } = config.configurable ?? {};
    if (typeof threadId !== "string") return undefined;
    if (this.#newThread && !this.#written.has(ns)) return undefined;
    const found = await reads.getCheckpoint(this.#on, {
      threadId,
      ns,
      checkpointId: checkpointId ?? null,
    });
    const row = one(found);
    return row === undefined ? undefined : this.#tuple(row);
  }

  override async *list(
    config: RunnableConfig,
    options?: CheckpointListOptions,
  ): AsyncGenerator<CheckpointTuple> {
    const { limit, before, filter } = options ?? {};
    const { thread_id, checkpoint_ns, checkpoint_id } = config.configurable ?? {};
    const rows = await reads.listCheckpoints(this.#on, {
      threadId: thread_id ?? null,
      ns: checkpoint_ns ?? null,
      checkpointId: checkpoint_id ?? null,
      metadata: filter === undefined ? null : JSON.stringify(filter),
      beforeId: before?.configurable?.checkpoint_id ?? null,
      limit: Math.min(limit ?? listMax, listMax),
    });
    for (const row of rows) yield await this.#tuple(row);
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const {
      thread_id: threadId,
      checkpoint_ns: ns = "",
      checkpoint_id: parentId = null,
    } = config.configurable ?? {};
    if (this.#noSteps) throw new StepRefused("the graph went on without the answer");
    const { channel_values: values, ...rest } = checkpoint;
    const blobs = await this.#dumpChannels(values, newVersions);
    const holder = this.#owner(threadId);
    this.#written.add(ns);
    const step = {
      ns,
      checkpointId: checkpoint.id,
      parentId,
      checkpoint: JSON.stringify(rest),
      metadata: JSON.stringify({ ...this.#metadata, ...metadata }),
      blobs,
    };
    await failpoint("checkpoint.before_commit");
    await this.#commitStep(holder, step);
    await failpoint("checkpoint.committed");
    return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: checkpoint.id } };
  }

  override async putWrites(config: RunnableConfig, pending: PendingWrite[], taskId: string): Promise<void> {
    if (pending.length === 0) return;
    const {
      thread_id: threadId,
      checkpoint_ns: ns = "",
      checkpoint_id: checkpointId,
    } = config.configurable ?? {};
    const target = { ns, checkpointId, taskId };
    const rows = await Promise.all(pending.map((write, n) => this.dumpWrite(write, n, target)));
    const holder = this.#owner(threadId);
    const replace = pending.every(([channel]) => channel in WRITES_IDX_MAP);
    await failpoint(replace ? "interrupt.before_commit" : "write.before_commit");
    if (replace || this.#group === undefined) await this.#commitWrites(holder, rows, replace);
    else await this.#riders.wait(rows);
    await failpoint(replace ? "interrupt.written" : "write.committed");
  }

  override async deleteThread(threadId: string): Promise<void> {
    await deleteCheckpoints(this.#on, { threadId });
  }

  /** One pending write in stored form. */
  async dumpWrite([channel, value]: PendingWrite, n: number, target: WriteTarget): Promise<writes.WriteRow> {
    const [type, blob] = await this.serde.dumpsTyped(value);
    return { ...target, idx: WRITES_IDX_MAP[channel] ?? n, channel, type, blob };
  }

  // Metadata stays plain JSON: it is searched by containment, also when an encrypting serializer is used.
  protected override async _dumpMetadata(metadata: CheckpointMetadata): Promise<unknown> {
    return JSON.parse(JSON.stringify(metadata));
  }
  protected override async _loadMetadata(metadata: Record<string, unknown>): Promise<CheckpointMetadata> {
    return metadata as unknown as CheckpointMetadata;
  }

  /** Sends one statement together with the events that belong to it, and throws LeaseLost when it wrote nothing. */
  async #send(
    kind: WriteKind,
    ns: string | null,
    statement: (batch: EventBatch) => Promise<number[]>,
  ): Promise<void> {
    const batch = await this.#events.take(ns);
    let committed = false;
    try {
      const rows = await this.#write(kind, () => statement(batch));
      if (rows.length === 0) throw new LeaseLost(`a ${kind} was refused: the lease has moved on`);
      committed = true;
    } finally {
      batch.release(committed);
    }
  }

  /** A step's checkpoint, with the writes of its tasks that are still on their way. */
  async #commitStep(holder: Owner, step: NonNullable<GroupItem["put"]>): Promise<void> {
    let aboard: Aboard | undefined;
    try {
      await this.#send("checkpoint", step.ns, (batch) => {
        const { runId } = holder;
        if (runId === null) return writes.putAsThread(this.#on, { ...holder, ...step, batch });
        if (this.#group === undefined) return writes.putAsRun(this.#on, { ...holder, ...step, batch });
        // Once: a repeated statement carries the same riders.
        aboard ??= this.#riders.take();
        return this.#grouped({ ...holder, runId, put: step, writes: aboard.rows, replace: false, batch });
      });
      aboard?.committed();
    } catch (error) {
      aboard?.failed(error);
      throw error;
    }
  }

  async #commitWrites(holder: Owner, rows: writes.WriteRow[], replace: boolean): Promise<void> {
    await this.#send("write", null, (batch) => {
      const params = { ...holder, writes: rows, replace, batch };
      const { runId } = holder;
      if (runId === null) return writes.writeAsThread(this.#on, params);
      return this.#group === undefined
        ? writes.writeAsRun(this.#on, params)
        : this.#grouped({ ...params, runId });
    });
  }

  /** Writes whose step goes on: another of its tasks still works. */
  async #sendRiders(): Promise<void> {
    const aboard = this.#riders.take();
    try {
      await this.#commitWrites(
        this.#owner(this.#holder.kind === "reader" ? null : this.#holder.threadId),
        aboard.rows,
        false,
      );
      aboard.committed();
    } catch (error) {
      aboard.failed(error);
    }
  }

  async #grouped(item: GroupItem): Promise<number[]> {
    return (await this.#group?.write(item)) ? [item.epoch] : [];
  }

  #owner(threadId: unknown): Owner {
    const holder = this.#holder;
    if (holder.kind === "reader") throw new LeaseLost("this saver only reads");
    if (holder.threadId !== threadId)
      throw new LeaseLost(`this saver writes to thread ${holder.threadId} only`);
    return {
      runId: holder.kind === "run" ? holder.runId : null,
      threadId: holder.threadId,
      epoch: holder.epoch,
    };
  }

  async #dumpChannels(
    values: Record<string, unknown>,
    versions: ChannelVersions,
  ): Promise<writes.PutParams["blobs"]> {
    return Promise.all(
      Object.entries(versions).map(async ([channel, version]) => {
        if (!Object.hasOwn(values, channel))
          return { channel, version: String(version), type: "empty", blob: null };
        const [type, blob] = await this.serde.dumpsTyped(values[channel]);
        return { channel, version: String(version), type, blob };
      }),
    );
  }

  async #tuple(row: Row): Promise<CheckpointTuple> {
    const { thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id } = row;
    if (row.checkpoint.v < 4 && parent_checkpoint_id !== null) {
      const sends = one(
        await reads.parentSends(this.#on, { threadId: thread_id, parentId: parent_checkpoint_id }),
      );
      if (sends !== undefined && sends.length > 0) await this._migratePendingSends(sends, row as never);
    }
    const stored = await this._loadCheckpoint(row.checkpoint as never, (row.channel_values ?? []) as never);
    const parent = { thread_id, checkpoint_ns, checkpoint_id: parent_checkpoint_id };
    const tuple: CheckpointTuple = {
      config: { configurable: { thread_id, checkpoint_ns, checkpoint_id } },
      checkpoint: row.epoch === null ? withOurVersions(stored) : stored,
      metadata: row.metadata as CheckpointMetadata,
      pendingWrites: await this._loadWrites((row.pending_writes ?? []) as never),
    };
    if (parent_checkpoint_id !== null) tuple.parentConfig = { configurable: parent };
    return tuple;
  }
}
