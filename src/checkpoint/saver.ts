// Checkpoints that only the holder of a thread can write. This room stores and loads LangGraph's state; it decides
// nothing about runs. Read next: reader.ts for how it loads, src/db/queries/checkpoint-writes.ts for the statements,
// serializer.ts for the values.
import type { RunnableConfig } from "@langchain/core/runnables";
import { START } from "@langchain/langgraph";
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
import { LeaseLost } from "../domain/errors.ts";
import { type EventBatch, noEvents, type StepEvents } from "../domain/event.ts";
import { failpoint } from "../observe/failpoint.ts";
import { dumpStep, type Step } from "./dump-step.ts";
import type { GroupCommit } from "./group-commit.ts";
import { OwnCheckpoints } from "./own-checkpoints.ts";
import { ReadingSaver, type Wanted } from "./reader.ts";
import { Riders } from "./riders.ts";
import type { Holder, SaverOptions, WriteKind } from "./saver-options.ts";
import type { KnownParts } from "./thread-parts.ts";

export class StepRefused extends Error {
  override readonly name = "StepRefused";
}

const placeOf = (ns: unknown, checkpointId: string): string => `${ns ?? ""} ${checkpointId}`;

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
  readonly #inputWaits: boolean;
  readonly #riders = new Riders(() => this.#sendRiders());
  readonly #write: NonNullable<SaverOptions["write"]>;
  readonly #newThread: boolean;
  readonly #written = new Set<string>();
  readonly #own = new OwnCheckpoints();
  /** The statements of checkpoints, by namespace and id. */
  readonly #underWay = new Map<string, Promise<unknown>>();
  /** The statement of the input, for who comes behind it. */
  #input: Promise<void> = Promise.resolve();
  #graphIsOver = false;

  constructor(options: SaverOptions) {
    const { holder, events, write, metadata, noSteps, group, newThread, parts, inputWaits } = options;
    super({ ...options, texts: parts?.texts });
    this.#holder = holder;
    this.#events = events ?? noEvents;
    this.#metadata = metadata ?? {};
    this.#noSteps = noSteps ?? false;
    this.#parts = parts;
    this.#group = group;
    this.#inputWaits = (inputWaits ?? false) && group !== undefined && holder.kind === "run";
    this.#newThread = newThread ?? false;
    this.#write = write ?? ((_kind, statement) => statement());
  }

  protected override async read(wanted: Wanted): Promise<CheckpointRow | undefined> {
    const { threadId, ns, checkpointId } = wanted;
    if (this.#holder.kind === "reader" || this.#holder.threadId !== threadId) return super.read(wanted);
    if (this.#newThread && !this.#written.has(ns)) return undefined;
    await this.flush();
    const own = this.#own.row(ns, checkpointId);
    if (own !== undefined) return own;
    const row = await super.read(wanted);
    if (row !== undefined) this.#own.learn(row);
    return row;
  }

  /** Call it when no graph code runs any more: long values of the last step need not be made again from what is stored. */
  graphIsOver(): void {
    this.#graphIsOver = true;
  }

  protected override asGiven({
    checkpoint_ns: ns,
    checkpoint_id,
  }: CheckpointRow): ReadonlyMap<string, unknown> {
    return this.#graphIsOver ? this.#own.given(ns, checkpoint_id) : super.asGiven();
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const place = placeOf(config.configurable?.checkpoint_ns, checkpoint.id);
    const put = this.#put(config, checkpoint, metadata, newVersions);
    this.#underWay.set(place, put);
    return put.finally(() => this.#underWay.delete(place));
  }

  /** When a checkpoint that is on its way is stored, or has failed: LangGraph does not wait for a run's first one. */
  async settled(ns: string, checkpointId: string): Promise<void> {
    await this.#underWay.get(placeOf(ns, checkpointId))?.catch(() => undefined);
  }

  async #put(
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
    const holder = this.#owner(threadId);
    const step = await dumpStep({
      ns,
      parentId,
      checkpoint,
      metadata: { ...this.#metadata, ...metadata },
      versions: newVersions,
      serde: this.serde,
      sending: this.#parts?.open(this.#riders.input?.sending),
    });
    this.#written.add(ns);
    await failpoint("checkpoint.before_commit");
    // A command's update is an "input", too, but has no value for START: nodes run on it at once.
    const isInput = metadata.source === "input" && Object.hasOwn(newVersions, START);
    if (this.#inputWaits && isInput && ns === "") await this.#holdInput(step);
    else await this.#commitStep(holder, step);
    return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: checkpoint.id } };
  }

  /** Sends an input's checkpoint whose step has not come. Throws what its statement failed with, also before. */
  async flush(): Promise<void> {
    if (this.#riders.input !== undefined) await this.#sendRiders();
    await this.#input;
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
    if (replace || this.#group === undefined) {
      await this.flush();
      await this.#commitWrites(holder, rows, replace);
    } else await this.#riders.wait(rows);
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

  async #holdInput(step: Step): Promise<void> {
    await this.flush();
    this.#own.leave(step.row.ns);
    this.#riders.holdInput(step);
  }

  /** A step's checkpoint, with the writes of its tasks and the input before it that are still on their way. */
  async #commitStep(holder: Owner, step: Step): Promise<void> {
    await this.#input;
    this.#own.leave(step.row.ns);
    const aboard = this.#riders.take();
    const steps = [...aboard.steps, step];
    const sent = this.#send("checkpoint", step.row.ns, (batch) => {
      const { runId } = holder;
      if (runId === null) return writes.putAsThread(this.on, { ...holder, ...step.row, batch });
      if (this.#group === undefined) return writes.putAsRun(this.on, { ...holder, ...step.row, batch });
      const puts = steps.map(({ row }) => row);
      return this.#grouped({ ...holder, runId, puts, writes: aboard.rows, replace: false, batch });
    });
    if (aboard.steps.length > 0) this.#input = sent;
    try {
      await sent;
      aboard.committed();
    } catch (error) {
      aboard.failed(error);
      throw error;
    }
    await this.#committed(holder, steps);
  }

  async #committed(holder: Owner, steps: readonly Step[]): Promise<void> {
    for (const { row, long, given, sending } of steps) {
      this.#own.committed({ ...row, ...holder, long, given });
      sending?.committed();
      for (const value of long) this.#parts?.texts.keepValue(value);
    }
    await failpoint("checkpoint.committed");
  }

  async #commitWrites(
    holder: Owner,
    rows: writes.WriteRow[],
    replace: boolean,
    steps: readonly Step[] = [],
  ): Promise<void> {
    await this.#send("write", null, (batch) => {
      const params = { ...holder, writes: rows, replace, batch };
      const { runId } = holder;
      if (runId === null) return writes.writeAsThread(this.on, params);
      if (this.#group === undefined) return writes.writeAsRun(this.on, params);
      return this.#grouped({ ...params, runId, puts: steps.map(({ row }) => row) });
    });
  }

  /** Writes whose step goes on, since another of its tasks still works, or an input whose step has not come. */
  async #sendRiders(): Promise<void> {
    const aboard = this.#riders.take();
    const { rows, steps } = aboard;
    const holder = this.#owner(this.#holder.kind === "reader" ? null : this.#holder.threadId);
    const sent = this.#input.then(() => this.#commitWrites(holder, rows, false, steps));
    if (steps.length > 0) this.#input = sent.then(() => this.#committed(holder, steps));
    await sent.then(aboard.committed, aboard.failed);
    await this.#input.catch(() => undefined);
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
}
