// Claims runs and sees them to an outcome. This room owns the lease of each run it works on; it never decides what
// a failure means and never speaks HTTP. Read next: held-runs.ts, attempt-runner.ts, then src/engine/attempt.ts.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { claimFour, claimNext, claimSuspect, claimTwo, nextDue } from "../db/queries/claim.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import type { WorkerDeps } from "./deps.ts";
import { HeldRuns } from "./held-runs.ts";

export interface WorkerOptions {
  workerId: string;
  /** Runs at once. */
  slotsMax: number;
  leaseSeconds: number;
  /** Where nobody can run them alone, suspects are run like any other run. */
  claimsSuspects: boolean;
  /** The net below notifications. */
  pollMillis: number;
}

/** After a database error the claim loop rests this long. */
const databaseRestMillis = 500;
/** Without news for so long, the worker asks when something will be due. */
const lullMillis = 20;
/** What came due since the last claim has not been missed. */
const dueSinceMillis = 1_000;

export class Worker implements AsyncDisposable {
  readonly #deps: WorkerDeps;
  readonly #options: WorkerOptions;
  readonly #held: HeldRuns;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #unsubscribe: () => void = () => undefined;
  #wake: () => void = () => undefined;
  #woken = false;

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#held = new HeldRuns(deps);
  }

  start(): void {
    this.#held.start();
    this.#unsubscribe = this.#deps.bus.subscribe("queue", () => this.#wakeUp());
    this.#loop = this.#claimForever();
  }

  /** Stops at step boundaries and gives every run back uncharged; after `deadlineMillis` attempts are aborted. */
  async stop(deadlineMillis: number): Promise<void> {
    this.#stopping.abort();
    this.#wakeUp();
    this.#unsubscribe();
    await this.#loop;
    await this.#held.stop(deadlineMillis);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  /** How many runs this worker works on now. */
  get activeRuns(): number {
    return this.#held.size;
  }

  async #claimForever(): Promise<void> {
    const { signal } = this.#stopping;
    const stopped = once(signal, "abort");
    await Promise.race([this.#held.ready(), stopped]);
    while (!signal.aborted) {
      if (this.#held.size >= this.#options.slotsMax) {
        await Promise.race([this.#held.oneEnded(), stopped]);
        continue;
      }
      this.#woken = false;
      const since = performance.now();
      const claimed = await this.#claim();
      if (claimed === "database away") {
        await sleep(databaseRestMillis, undefined, { signal }).catch(() => undefined);
        continue;
      }
      for (const run of claimed.runs) {
        this.#deps.bus.taken(run.thread_id);
        void this.#held.begin(run, since);
      }
      if (!claimed.more) await this.#idle();
    }
  }

  /** Only what there are slots for, and few of them: a run that is held here could be at work in another worker. */
  async #claim(): Promise<{ runs: RunRow[]; more: boolean } | "database away"> {
    const { db, registry, log } = this.#deps;
    const { workerId, leaseSeconds, claimsSuspects, slotsMax } = this.#options;
    const free = slotsMax - this.#held.size;
    const [claimRuns, asked] = free >= 4 ? [claimFour, 4] : free >= 2 ? [claimTwo, 2] : [claimNext, 1];
    const claim = { workerId, graphIds: registry.graphIds, leaseSeconds };
    try {
      const runs = await claimRuns(db, claim);
      if (runs.length > 0 || !claimsSuspects) return { runs, more: runs.length === asked };
      const suspects = await claimSuspect(db, claim);
      return { runs: suspects, more: suspects.length > 0 };
    } catch (error) {
      log.warn({ error }, "no run could be claimed");
      return "database away";
    }
  }

  /** Until a notification, the next due time or the poll interval, whichever comes first. */
  async #idle(): Promise<void> {
    const { db, registry } = this.#deps;
    // Where runs come one after the other, the next one is there before the time would be known.
    if (await this.#wokenWithin(lullMillis)) return;
    const due = one(
      await nextDue(db, { graphIds: registry.graphIds, sinceMillis: dueSinceMillis }).catch(() => []),
    );
    const dueMs = due ?? Number.POSITIVE_INFINITY;
    await this.#wokenWithin(Math.max(1, Math.min(this.#options.pollMillis, dueMs)));
  }

  async #wokenWithin(millis: number): Promise<boolean> {
    const done = (): boolean => this.#woken || this.#stopping.signal.aborted;
    if (done()) return true;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([woken, sleep(millis, undefined, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
    return done();
  }

  #wakeUp(): void {
    this.#woken = true;
    this.#wake();
  }
}
