// Claims runs and sees them to an outcome. This room owns the lease of each run it works on; it never decides what
// a failure means and never speaks HTTP. Read next: attempt-runner.ts, then src/engine/attempt.ts.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { cancelRequests, claimNext, nextDue } from "../db/queries/claim.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { Cancelled, LeaseLost } from "../domain/errors.ts";
import { failpoint } from "../observe/failpoint.ts";
import { AttemptRunner } from "./attempt-runner.ts";
import type { WorkerDeps } from "./deps.ts";
import type { Beat, LeaseKeeper } from "./leases.ts";

export interface WorkerOptions {
  workerId: string;
  /** Runs at once. */
  slotsMax: number;
  leaseSeconds: number;
  /** The net below notifications. */
  pollMillis: number;
}

/** After a database error the claim loop rests this long. */
const databaseRestMillis = 500;
/** A drain that did not end by itself is cut here: attempts are aborted, and still not charged. */
const abortGraceMillis = 5_000;

export class Worker implements AsyncDisposable {
  readonly #deps: WorkerDeps;
  readonly #options: WorkerOptions;
  readonly #active = new Map<string, AttemptRunner>();
  readonly #ended = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  #keeper: LeaseKeeper | undefined;
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void)[] = [];
  #wake: () => void = () => undefined;
  #woken = false;

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  start(): void {
    const { bus, leases } = this.#deps;
    this.#keeper = leases((beat) => this.#onBeat(beat));
    this.#unsubscribe = [
      bus.subscribe("queue", () => this.#wakeUp()),
      bus.subscribe("cancel", (id) => {
        if (id === "*" || this.#active.has(id)) this.#lookForCancels();
      }),
    ];
    this.#loop = this.#claimForever();
  }

  /** Stops at step boundaries and gives every run back uncharged; after `deadlineMillis` attempts are aborted. */
  async stop(deadlineMillis: number): Promise<void> {
    this.#stopping.abort();
    this.#wakeUp();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#loop;
    for (const attempt of this.#active.values()) attempt.drain();
    await this.#allEnded(deadlineMillis);
    for (const attempt of this.#active.values()) attempt.abort(new Cancelled("the worker stops"));
    await this.#allEnded(abortGraceMillis);
    await this.#keeper?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  /** How many runs this worker works on now. */
  get activeRuns(): number {
    return this.#active.size;
  }

  async #claimForever(): Promise<void> {
    const { signal } = this.#stopping;
    const stopped = once(signal, "abort");
    while (!signal.aborted) {
      if (this.#active.size >= this.#options.slotsMax) {
        await Promise.race([...this.#ended, stopped]);
        continue;
      }
      this.#woken = false;
      const run = await this.#claim();
      if (run === "database away")
        await sleep(databaseRestMillis, undefined, { signal }).catch(() => undefined);
      else if (run === undefined) await this.#idle();
      else this.#begin(run);
    }
  }

  // One at a time: a run lasts seconds, a claim a millisecond; a batch would hold leases on work that has no slot.
  async #claim(): Promise<RunRow | undefined | "database away"> {
    const { db, registry, log } = this.#deps;
    const { workerId, leaseSeconds } = this.#options;
    try {
      return one(await claimNext(db, { workerId, graphIds: registry.graphIds, leaseSeconds }));
    } catch (error) {
      log.warn({ error }, "no run could be claimed");
      return "database away";
    }
  }

  #begin(run: RunRow): void {
    // Its lease ran out and came back to this very worker: the earlier attempt is a zombie here at home.
    this.#active.get(run.run_id)?.abort(new LeaseLost(`run ${run.run_id} was claimed again`));
    const attempt = new AttemptRunner(this.#deps, run);
    const lease = { runId: run.run_id, epoch: run.epoch };
    this.#active.set(run.run_id, attempt);
    this.#keeper?.hold(lease);
    const ended = this.#runToEnd(attempt, run).finally(() => {
      if (this.#active.get(run.run_id) === attempt) this.#active.delete(run.run_id);
      this.#keeper?.release(lease);
      this.#ended.delete(ended);
    });
    this.#ended.add(ended);
  }

  async #runToEnd(attempt: AttemptRunner, run: RunRow): Promise<void> {
    try {
      await failpoint("run.claimed");
      await attempt.run();
    } catch (error) {
      // The row still says running: its lease will run out, and another worker takes over.
      this.#deps.log.error({ error, run_id: run.run_id }, "an attempt could not be settled");
    }
  }

  #onBeat({ asked, renewed }: Beat): void {
    const alive = new Map(renewed.map((row) => [row.runId, row.cancelRequested]));
    for (const { runId, epoch } of asked) {
      const attempt = this.#active.get(runId);
      if (attempt === undefined || attempt.epoch !== epoch) continue;
      const cancel = alive.get(runId);
      if (cancel === undefined) attempt.abort(new LeaseLost(`the lease of run ${runId} was not renewed`));
      else if (cancel !== null) attempt.cancel(cancel);
    }
  }

  #lookForCancels(): void {
    const runIds = [...this.#active.keys()];
    if (runIds.length === 0) return;
    cancelRequests(this.#deps.db, { runIds })
      .then((rows) => {
        for (const { runId, action } of rows) this.#active.get(runId)?.cancel(action);
      })
      .catch((error: unknown) => this.#deps.log.warn({ error }, "cancel requests could not be read"));
  }

  /** Until a notification, the next due time or the poll interval, whichever comes first. */
  async #idle(): Promise<void> {
    const { db, registry } = this.#deps;
    const dueMs =
      one(await nextDue(db, { graphIds: registry.graphIds }).catch(() => [])) ?? Number.POSITIVE_INFINITY;
    const waitMs = Math.max(1, Math.min(this.#options.pollMillis, dueMs));
    if (this.#woken || this.#stopping.signal.aborted) return;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([woken, sleep(waitMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
  }

  #wakeUp(): void {
    this.#woken = true;
    this.#wake();
  }

  async #allEnded(millis: number): Promise<void> {
    if (this.#ended.size === 0) return;
    const timer = new AbortController();
    const late = sleep(millis, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([Promise.allSettled([...this.#ended]), late]);
    timer.abort();
  }
}
