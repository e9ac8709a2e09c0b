import { setTimeout as sleep } from "node:timers/promises";
import { heldLeases } from "../db/queries/claim.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { Cancelled, LeaseLost } from "../domain/errors.ts";
import type { Outcome } from "../domain/outcome.ts";
import { failpoint } from "../observe/failpoint.ts";
import { AttemptRunner } from "./attempt-runner.ts";
import type { WorkerDeps } from "./deps.ts";
import type { Beat, LeaseKeeper } from "./leases.ts";

/** A drain that did not end by itself is cut here: attempts are aborted, and still not charged. */
const abortGraceMillis = 5_000;
/** How often cancels are looked for when no notification comes. */
const cancelPollMillis = 1_000;
/** A cancel that is heard of while its run's claim is still on its way here is remembered for so long. */
const rememberedMillisMax = 15_000;
const rememberedMax = 1_000;

/** How an attempt ended, for who claimed the run; null when its lease was lost or its outcome could not be stored. */
export type Ended = Outcome["kind"] | null;

/** The runs that this process holds: their leases, their attempts, the cancels that reach them. */
export class HeldRuns {
  readonly #deps: WorkerDeps;
  readonly #active = new Map<string, AttemptRunner>();
  readonly #ended = new Set<Promise<Ended>>();
  /** Cancels of runs that are not held here, or not yet: when they were heard of. */
  readonly #heard = new Map<string, number>();
  #keeper: LeaseKeeper | undefined;
  #poll: NodeJS.Timeout | undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { bus, leases } = this.#deps;
    this.#keeper = leases((beat) => this.#onBeat(beat));
    this.#unsubscribe = bus.subscribe("cancel", (id) => {
      if (!this.#active.has(id)) this.#remember(id);
      if (id === "*" || this.#active.has(id)) this.#lookForCancels();
    });
    this.#poll = setInterval(() => this.#lookForCancels(), cancelPollMillis);
  }

  /** Resolves when leases can be renewed. */
  async ready(): Promise<void> {
    await this.#keeper?.ready;
  }

  get size(): number {
    return this.#active.size;
  }

  /** Resolves when the next of the runs has ended. */
  async oneEnded(): Promise<void> {
    await Promise.race(this.#ended);
  }

  /** Works on a run that was claimed after `since`, until its outcome is stored. Never rejects. */
  begin(run: RunRow, since = performance.now() - rememberedMillisMax): Promise<Ended> {
    // Its lease ran out and came back to this very process: the earlier attempt is a zombie here at home.
    this.#active.get(run.run_id)?.abort(new LeaseLost(`run ${run.run_id} was claimed again`));
    const attempt = new AttemptRunner(this.#deps, run);
    const lease = { runId: run.run_id, epoch: run.epoch };
    this.#active.set(run.run_id, attempt);
    this.#keeper?.hold(lease);
    if (this.#heardOf(run.run_id, since)) this.#lookForCancels();
    const ended = this.#runToEnd(attempt, run).finally(() => {
      if (this.#active.get(run.run_id) === attempt) this.#active.delete(run.run_id);
      this.#keeper?.release(lease);
      this.#ended.delete(ended);
    });
    this.#ended.add(ended);
    return ended;
  }

  /** Stops at step boundaries and gives every run back uncharged; after `deadlineMillis` attempts are aborted. */
  async stop(deadlineMillis: number): Promise<void> {
    this.#unsubscribe();
    for (const attempt of this.#active.values()) attempt.drain();
    await this.allEnded(deadlineMillis);
    for (const attempt of this.#active.values()) attempt.abort(new Cancelled("the worker stops"));
    await this.allEnded(abortGraceMillis);
    clearInterval(this.#poll);
    await this.#keeper?.stop();
  }

  async #runToEnd(attempt: AttemptRunner, run: RunRow): Promise<Ended> {
    try {
      await failpoint("run.claimed");
      return await attempt.run();
    } catch (error) {
      // The row still says running: its lease will run out, and another worker takes over.
      this.#deps.log.error({ error, run_id: run.run_id }, "an attempt could not be settled");
      return null;
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

  /** A claim is committed before its answer is here: a cancel in between is nobody's yet. */
  #remember(id: string): void {
    this.#heard.delete(id);
    this.#heard.set(id, performance.now());
    if (this.#heard.size <= rememberedMax) return;
    // Too many to know apart: any run may be among them.
    this.#heard.clear();
    this.#heard.set("*", performance.now());
  }

  #heardOf(runId: string, since: number): boolean {
    const last = Math.max(this.#heard.get(runId) ?? 0, this.#heard.get("*") ?? 0);
    return last >= since;
  }

  #lookForCancels(): void {
    const asked = [...this.#active].map(([runId, { epoch }]) => ({ runId, epoch }));
    if (asked.length === 0) return;
    const runIds = asked.map(({ runId }) => runId);
    const epochs = asked.map(({ epoch }) => epoch);
    heldLeases(this.#deps.db, { runIds, epochs })
      .then((renewed) => this.#onBeat({ asked, renewed }))
      .catch((error: unknown) => this.#deps.log.warn({ error }, "cancel requests could not be read"));
  }

  /** Resolves when nothing is held any more, or after so long. */
  async allEnded(millis: number): Promise<void> {
    if (this.#ended.size === 0) return;
    const timer = new AbortController();
    const late = sleep(millis, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([Promise.allSettled([...this.#ended]), late]);
    timer.abort();
  }
}
