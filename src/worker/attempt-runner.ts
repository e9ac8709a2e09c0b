import { RunControl } from "@langchain/langgraph";
import pRetry from "p-retry";
import type { WriteKind } from "../checkpoint/saver-options.ts";
import { KnownParts } from "../checkpoint/thread-parts.ts";
import { lastSeq } from "../db/queries/events.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { attemptRecorded } from "../db/queries/settle.ts";
import { one } from "../db/query.ts";
import { isDatabaseAway } from "../domain/classify.ts";
import { Cancelled, LeaseLost } from "../domain/errors.ts";
import { announcementSeq } from "../domain/event.ts";
import type { Outcome, ThreadView } from "../domain/outcome.ts";
import { decide, retryPolicy } from "../domain/retry.ts";
import { type CancelAction, isFirstClaim, isOfNewThread } from "../domain/run.ts";
import { type AttemptEnd, runAttempt } from "../engine/attempt.ts";
import { runCompensation } from "../engine/compensation.ts";
import { tellDead } from "../observe/dead.ts";
import type { GroupSettle, Settled } from "../queue/group-settle.ts";
import { AttemptLimits } from "./attempt-limits.ts";
import type { WorkerDeps } from "./deps.ts";
import { EventWriter } from "./event-writer.ts";
import { Guest } from "./guests.ts";

/** How long an attempt outlives a database that is away; after that its run goes back into the queue, uncharged. */
const databaseAwaySecondsMax = 60;
const repeatsMax = 200;
/** How long a graph may take to end after it was told to: then it is left to itself, and what it writes is refused. */
const abandonMillisMax = 5_000;

/** One claimed run on its way to an outcome. */
export class AttemptRunner {
  readonly epoch: number;
  readonly #deps: WorkerDeps;
  readonly #run: RunRow;
  readonly #abort = new AbortController();
  readonly #control = new RunControl();
  readonly #parts: KnownParts;
  #cancelRequested: CancelAction | null = null;
  #limits: AttemptLimits | undefined;
  #guest: Guest | undefined;

  constructor(deps: WorkerDeps, run: RunRow) {
    this.#deps = deps;
    this.#run = run;
    this.epoch = run.epoch;
    this.#cancelRequested = run.cancel_requested;
    this.#parts = new KnownParts({
      on: deps.db,
      threadId: run.thread_id,
      newThread: isOfNewThread(run),
      texts: deps.texts.of(run.thread_id),
      // An attempt that was told to stop has still its end to store.
      read: (statement) => this.#repeat(statement, null),
    });
  }

  drain(): void {
    this.#control.requestDrain("the worker stops");
  }

  cancel(action: CancelAction): void {
    this.#cancelRequested = action;
    this.abort(new Cancelled(`a ${action} was asked for`));
  }

  abort(reason: Error): void {
    // Listeners of the signal are graph code.
    if (this.#guest === undefined) this.#abort.abort(reason);
    else this.#guest.within(() => this.#abort.abort(reason));
  }

  /** Runs, decides, settles. Null when the lease was lost; throws only when the outcome could not be stored. */
  async run(): Promise<Outcome["kind"] | null> {
    const { log } = this.#deps;
    const run = this.#run;
    const end = await this.#attempt();
    if (end === null) {
      this.#deps.metrics.leaseLost.inc();
      log.warn({ run_id: run.run_id, epoch: run.epoch }, "lease lost: nothing more is written");
      return null;
    }
    const settled = await this.#settle(end);
    if (settled !== null) {
      this.#tell(end.outcome, settled);
      return end.outcome.kind;
    }
    this.#deps.metrics.fenced.inc({ kind: "settle" });
    this.#deps.metrics.leaseLost.inc();
    log.warn({ run_id: run.run_id, epoch: run.epoch }, "lease lost before the outcome was stored");
    return null;
  }

  /** Null when another holder has the run. */
  async #settle(end: AttemptEnd): Promise<Settled | null> {
    const { db, outcomes } = this.#deps;
    const { run_id: runId, epoch } = this.#run;
    try {
      const settle = (): ReturnType<GroupSettle["settle"]> =>
        outcomes.settle({ run: this.#run, ...end, parts: this.#parts });
      return await this.#repeat(settle, null);
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
      // Our own commit, whose answer was lost, makes the repetition find the run moved.
      const recorded = await this.#repeat(
        () => attemptRecorded(db, { runId, epoch, outcome: end.outcome.kind }),
        null,
      );
      return recorded.length === 1 ? { queued: true } : null;
    }
  }

  /** The outcome of the graph, or of its failure; null when the lease is gone. */
  async #attempt(): Promise<AttemptEnd | null> {
    const { db, bus, group } = this.#deps;
    const run = this.#run;
    let events: EventWriter | undefined;
    try {
      if (this.#cancelRequested !== null) throw new Cancelled("cancelled before it began");
      const first = isFirstClaim(run);
      if (first) bus.publish("events", run.run_id);
      const last = first
        ? announcementSeq
        : (one(await this.#repeat(() => lastSeq(db, { runId: run.run_id }), this.#abort.signal)) ?? -1);
      const write = <T>(statement: () => Promise<T>): Promise<T> => this.#write("event", statement);
      const onError = (error: unknown): void => this.abort(error as Error);
      const parts = this.#parts;
      events = new EventWriter({ group, bus, run, nextSeq: last + 1, parts, write, onError });
      return await this.#host(events);
    } catch (error) {
      return await this.#failed(error, events);
    } finally {
      events?.close();
    }
  }

  /** Runs the graph as a guest, within its limits. A node that hears no signal is not waited for. */
  async #host(events: EventWriter): Promise<AttemptEnd> {
    const { signal } = this.#abort;
    const run = this.#run;
    const onError = (error: Error): void => this.abort(error);
    const guest = new Guest(run.run_id, { signal, end: onError });
    this.#guest = guest;
    this.#limits = new AttemptLimits({
      ...this.#deps.limits,
      ranMillis: Number(run.claimed_at) - Number(run.started_at),
      onExpired: onError,
    });
    const perform = run.kind === "compensation" ? runCompensation : runAttempt;
    const hosted = guest.host(() =>
      perform(this.#deps, run, {
        signal,
        control: this.#control,
        abort: onError,
        events,
        parts: this.#parts,
        write: (kind, statement) => this.#write(kind, statement),
      }),
    );
    const { abandoned, over } = this.#patience();
    return Promise.race([hosted, abandoned]).finally(() => {
      over();
      this.#limits?.stop();
    });
  }

  /** Rejects when graph code goes on for too long after it was told to end. */
  #patience(): { abandoned: Promise<never>; over: () => void } {
    const { signal } = this.#abort;
    let timer: NodeJS.Timeout | undefined;
    let told: () => void = () => undefined;
    const abandoned = new Promise<never>((_, reject) => {
      told = () => {
        timer = setTimeout(() => {
          this.#deps.log.warn({ run_id: this.#run.run_id }, "graph code does not stop: it is left to itself");
          reject(signal.reason);
        }, abandonMillisMax);
        timer.unref();
      };
    });
    if (signal.aborted) told();
    else signal.addEventListener("abort", told, { once: true });
    const over = (): void => {
      signal.removeEventListener("abort", told);
      clearTimeout(timer);
    };
    return { abandoned, over };
  }

  async #failed(thrown: unknown, events: EventWriter | undefined): Promise<AttemptEnd | null> {
    const { signal } = this.#abort;
    // LangGraph throws an AbortError of its own; the reason says who aborted and why.
    const error = signal.aborted && !(thrown instanceof LeaseLost) ? signal.reason : thrown;
    const outcome = decide({
      error,
      failures: this.#run.failures,
      policy: { ...retryPolicy, attemptsMax: this.#run.attempts_max },
      cancelRequested: this.#cancelRequested,
      stopping: signal.aborted && signal.reason instanceof Cancelled,
      random: this.#deps.random(),
    });
    if (outcome === null) return null;
    const held = await events?.finish().catch(() => []);
    const finalEvents = outcome.kind === "dead" ? [...(held ?? []), errorEvent(outcome)] : (held ?? []);
    const fatal = outcome.kind === "dead" || outcome.kind === "retry";
    if (fatal)
      this.#deps.log.warn({ error, run_id: this.#run.run_id, outcome: outcome.kind }, "attempt failed");
    return {
      outcome,
      finalEvents: outcome.kind === "dead" || outcome.kind === "cancelled" ? finalEvents : [],
    };
  }

  async #write<T>(kind: WriteKind, statement: () => Promise<T>): Promise<T> {
    const result = await this.#repeat(statement, this.#abort.signal);
    if (kind !== "read" && Array.isArray(result) && result.length === 0) {
      this.#deps.metrics.fenced.inc({ kind });
      this.abort(new LeaseLost(`a ${kind} was refused: the lease has moved on`));
    }
    if (kind !== "read") this.#limits?.progressed();
    return result;
  }

  /** Every statement of ours may be repeated: when the answer was lost, the second one finds the first one's rows. */
  async #repeat<T>(statement: () => Promise<T>, signal: AbortSignal | null): Promise<T> {
    signal?.throwIfAborted();
    try {
      const result = await statement();
      signal?.throwIfAborted();
      return result;
    } catch (error) {
      if (!isDatabaseAway(error)) throw error;
    }
    return pRetry(statement, {
      retries: repeatsMax,
      minTimeout: 50,
      maxTimeout: 1_000,
      maxRetryTime: databaseAwaySecondsMax * 1_000,
      shouldRetry: ({ error }) => isDatabaseAway(error),
      ...(signal === null ? {} : { signal }),
    });
  }

  #tell(outcome: Outcome, { end, queued }: Settled): void {
    const { bus, metrics, log } = this.#deps;
    const { run_id, thread_id, graph_id, created_at, attempt } = this.#run;
    bus.publish("run", run_id, end);
    // Who follows the thread hears of either; workers need to look only for a run.
    bus.publish(queued ? "queue" : "run", thread_id);
    if (outcome.kind === "dead") tellDead(this.#deps, this.#run, outcome.error);
    if (outcome.kind === "retry") metrics.retries.inc({ error_type: outcome.error.code });
    if (this.#run.kind === "compensation") this.#countCompensation(outcome);
    const status = this.#run.kind === "compensation" ? null : finalStatus(outcome);
    if (status !== null) {
      metrics.tasks.inc({ agent_name: graph_id, status });
      metrics.latency.observe(
        { agent_name: graph_id },
        Math.max(0, Date.now() - created_at.getTime()) / 1000,
      );
    }
    if (outcome.kind === "success") {
      const confidence = confidenceOf(outcome.view);
      if (typeof confidence === "number") metrics.confidence.set({ agent_name: graph_id }, confidence);
    }
    log.info({ run_id, thread_id, graph: graph_id, attempt, outcome: outcome.kind }, "attempt settled");
  }

  #countCompensation({ kind }: Outcome): void {
    if (kind === "compensated") this.#deps.metrics.compensations.inc({ outcome: "done" });
    if (kind === "dead") this.#deps.metrics.compensations.inc({ outcome: "stuck" });
  }
}

/** Looked for in the text first: a long state takes long to parse. */
function confidenceOf(view: ThreadView): unknown {
  if (view.valuesText?.includes('"confidence"') === false) return undefined;
  return ((view.values ?? {}) as { confidence?: unknown }).confidence;
}

function finalStatus(outcome: Outcome): string | null {
  if (outcome.kind === "success") return "success";
  if (outcome.kind === "dead") return outcome.status;
  if (outcome.kind === "cancelled") return "interrupted";
  return null;
}

function errorEvent(outcome: Extract<Outcome, { kind: "dead" }>): {
  event: string;
  data: string;
  step: null;
} {
  const { name, message } = outcome.error;
  return { event: "error", data: JSON.stringify({ error: name, message }), step: null };
}
