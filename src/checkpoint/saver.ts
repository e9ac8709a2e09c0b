// Checkpoints that only the holder of a thread can write. This room stores and loads LangGraph's state; it decides
// nothing about runs. Read next: reader.ts for how it loads, src/db/queries/checkpoint-writes.ts for the statements,
// serializer.ts for the values.
import type { RunnableConfig } from "@langchain/core/runnables";
import {
  type ChannelVersions,
  type Checkpoint,
  type CheckpointMetadata,
  type PendingWrite,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import type { GroupItem } from "../db/queries/checkpoint-groups.ts";
import type { CheckpointRow } from "../db/queries/checkpoint-reads.ts";
import * as writes from "../db/queries/checkpoint-writes.ts";
import { deleteCheckpoints } from "../db/queries/checkpoints.ts";
import { blobInParts, ownType } from "../db/queries/parts.ts";
import { LeaseLost } from "../domain/errors.ts";
import { type EventBatch, noEvents, type StepEvents } from "../domain/event.ts";
import { type Sending, wholeCharsMax } from "../domain/parts.ts";
import { failpoint } from "../observe/failpoint.ts";
import type { GroupCommit } from "./group-commit.ts";
import { OwnCheckpoints } from "./own-checkpoints.ts";
import { type ReadingOptions, ReadingSaver, type Wanted } from "./reader.ts";
import { type Aboard, Riders } from "./riders.ts";
import { dumpText, strictSerializer } from "./serializer.ts";
import type { KnownValue } from "./text-memory.ts";
import type { KnownParts } from "./thread-parts.ts";

/** Who writes: a run under its lease, or an API call that holds the thread's lock and its next epoch. */
export type Holder =
  | { kind: "run"; runId: string; threadId: string; epoch: number }
  | { kind: "thread"; threadId: string; epoch: number }
  | { kind: "reader" };

export interface SaverOptions extends ReadingOptions {
  holder: Holder;
  events?: StepEvents;
  /** Refuses the commit of a step: for a look at what a parked node asks, which must go no further. */
  noSteps?: boolean;
  /** Kept with every checkpoint, so that history can be searched by it. */
  metadata?: Record<string, unknown>;
  /** Whether nobody has ever written a checkpoint of the holder's thread: all there is to read is what this saver writes. */
  newThread?: boolean;
  /** Of the holder's thread, where long values are kept in parts; without it they are stored whole. */
  parts?: KnownParts;
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

type Owner = { runId: string | null; threadId: string; epoch: number };

/** A write path that is fenced, ordered by our own seq, one statement each. */
export class FencedSaver extends ReadingSaver {
  readonly #holder: Holder;
  readonly #events: StepEvents;
  readonly #noSteps: boolean;
  readonly #metadata: Record<string, unknown>;
  readonly #parts: KnownParts | undefined;
  readonly #group: GroupCommit | undefined;
  readonly #riders = new Riders(() => this.#sendRiders());
  readonly #write: NonNullable<SaverOptions["write"]>;
  readonly #newThread: boolean;
  readonly #written = new Set<string>();
  readonly #own = new OwnCheckpoints();

  constructor(options: SaverOptions) {
    const { holder, events, write, metadata, noSteps, group, newThread, parts } = options;
    super({ ...options, texts: parts?.texts });
    this.#holder = holder;
    this.#events = events ?? noEvents;
    this.#metadata = metadata ?? {};
    this.#noSteps = noSteps ?? false;
    this.#parts = parts;
    this.#group = group;
    this.#newThread = newThread ?? false;
    this.#write = write ?? ((_kind, statement) => statement());
  }

  protected override async read(wanted: Wanted): Promise<CheckpointRow | undefined> {
    const { threadId, ns, checkpointId } = wanted;
    if (this.#holder.kind === "reader" || this.#holder.threadId !== threadId) return super.read(wanted);
    if (this.#newThread && !this.#written.has(ns)) return undefined;
    const own = this.#own.row(ns, checkpointId);
    if (own !== undefined) return own;
    const row = await super.read(wanted);
    if (row !== undefined) this.#own.learn(row);
    return row;
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
    const holder = this.#owner(threadId);
    const sending = this.#parts?.open();
    const long: KnownValue[] = [];
    const blobs = await this.#dumpChannels({ values, versions: newVersions, ns, sending, long });
    this.#written.add(ns);
    const step = {
      ns,
      checkpointId: checkpoint.id,
      parentId,
      checkpoint: JSON.stringify(rest),
      metadata: JSON.stringify({ ...this.#metadata, ...metadata }),
      blobs,
      parts: sending?.parts ?? [],
    };
    await failpoint("checkpoint.before_commit");
    this.#own.leave(ns);
    await this.#commitStep(holder, step);
    this.#own.committed({ ...step, ...holder, long });
    sending?.committed();
    for (const value of long) this.#parts?.texts.keepValue(value);
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
    this.#own.writesTo(ns, checkpointId);
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
    await deleteCheckpoints(this.on, { threadId });
  }

  /** One pending write in stored form. */
  async dumpWrite([channel, value]: PendingWrite, n: number, target: WriteTarget): Promise<writes.WriteRow> {
    const [type, blob] = await this.serde.dumpsTyped(value);
    return { ...target, idx: WRITES_IDX_MAP[channel] ?? n, channel, type, blob };
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
      const rows = await this.#write(kind, async () => {
        const written = await statement(batch);
        // Also when nobody hears of it any more, because the attempt is told to stop in that moment.
        committed = written.length > 0;
        return written;
      });
      if (rows.length === 0) throw new LeaseLost(`a ${kind} was refused: the lease has moved on`);
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
        if (runId === null) return writes.putAsThread(this.on, { ...holder, ...step, batch });
        if (this.#group === undefined) return writes.putAsRun(this.on, { ...holder, ...step, batch });
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
      if (runId === null) return writes.writeAsThread(this.on, params);
      return this.#group === undefined
        ? writes.writeAsRun(this.on, params)
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

  async #dumpChannels(dumping: Dumping): Promise<writes.PutParams["blobs"]> {
    return Promise.all(
      Object.entries(dumping.versions).map(async ([channel, version]) => {
        const named = { channel, version: String(version) };
        if (!Object.hasOwn(dumping.values, channel)) return { ...named, type: "empty", blob: null };
        const [type, blob] = await this.#dumpChannel(named, dumping);
        return { ...named, type, blob };
      }),
    );
  }

  /** Only what our own serializer wrote is known to be text. */
  async #dumpChannel(
    { channel, version }: { channel: string; version: string },
    { values, ns, sending, long }: Dumping,
  ): Promise<Dumped> {
    const value = values[channel];
    if (sending === undefined || this.serde !== strictSerializer) return this.serde.dumpsTyped(value);
    const text = dumpText(value);
    if (text.length < wholeCharsMax) return [ownType, Buffer.from(text, "utf8")];
    long.push({ ns, channel, version, text });
    return [blobInParts, Buffer.from(await sending.cut(`${ns}/${channel}`, text), "utf8")];
  }
}

type Dumped = [type: string, bytes: Uint8Array];

interface Dumping {
  values: Record<string, unknown>;
  versions: ChannelVersions;
  ns: string;
  sending: Sending | undefined;
  /** Takes the values that are kept in parts. */
  long: KnownValue[];
}
