// Runs suspects, one at a time for each process. A run that two workers died under may be what killed them, or an innocent
// neighbour: alone in a process, it can only take itself along. Read next: isolated-child.ts, src/queue/crash.ts.
import { setTimeout as sleep } from "node:timers/promises";
import pRetry from "p-retry";
import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { claimSuspect, suspectDue } from "../db/queries/claim.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { isDatabaseAway } from "../domain/classify.ts";
import { tellDead } from "../observe/dead.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { chargeCrash, type Death } from "../queue/crash.ts";
import type { IsolatedChild } from "./isolated-child.ts";

interface Deps {
  db: Database;
  bus: Bus;
  log: Log;
  metrics: Metrics;
  startChild: () => Promise<IsolatedChild>;
}

interface Options {
  workerId: string;
  graphIds: string[];
  leaseSeconds: number;
  pollMillis: number;
}

/** Processes for suspects, each about as large as a worker: a second one when a first is not enough. */
const childrenMax = 2;
/** News of the queue come with every run, suspects seldom: they are looked for at most so often. */
const lookMillisMin = 250;
/** A child without work goes after this long. */
const idleMillisMax = 60_000;
const databaseRestMillis = 500;
/** Within the lease's time or little more: later the reaper has found the run. */
const chargeSecondsMax = 60;

/** A place for one process, with or without it. */
interface Cell {
  child: IsolatedChild | undefined;
  idleSince: number;
}

/** Claims suspects while it has a process that is free for one. */
export class Isolation {
  readonly #deps: Deps;
  readonly #options: Options;
  readonly #stopping = new AbortController();
  readonly #children = new Set<IsolatedChild>();
  /** Children that have a run in hand. */
  #working = 0;
  #loops: Promise<void>[] = [];
  #unsubscribe: () => void = () => undefined;
  readonly #wakes = new Set<() => void>();
  #news = 0;

  constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
  }

  start(): void {
    this.#unsubscribe = this.#deps.bus.subscribe("queue", () => this.#wakeUp());
    this.#loops = Array.from({ length: childrenMax }, (_, before) => this.#forever(before));
  }

  /** Gives suspects back at their next step boundary, uncharged, and ends the processes. */
  async stop(deadlineMillis: number): Promise<void> {
    this.#stopping.abort();
    this.#unsubscribe();
    this.#wakeUp();
    await Promise.all([...this.#children].map((child) => child.stop(deadlineMillis)));
    await Promise.all(this.#loops);
  }

  /** One process at a time. The nth begins when there is more to do and those `before` it are at work. */
  async #forever(before: number): Promise<void> {
    const { signal } = this.#stopping;
    const cell: Cell = { child: undefined, idleSince: performance.now() };
    while (!signal.aborted) {
      const news = this.#news;
      try {
        if (await this.#workOnNext(cell, before)) cell.idleSince = performance.now();
        else await this.#idle(news);
        if (performance.now() - cell.idleSince > idleMillisMax) await this.#end(cell);
      } catch (error) {
        this.#deps.log.error({ error }, "suspects could not be worked on");
        await sleep(databaseRestMillis, undefined, { signal }).catch(() => undefined);
      }
    }
    await this.#end(cell);
  }

  /** False when there was none. */
  async #workOnNext(cell: Cell, before: number): Promise<boolean> {
    const { db } = this.#deps;
    const { workerId, graphIds, leaseSeconds } = this.#options;
    if (this.#working < before || !one(await suspectDue(db, { graphIds }))) return false;
    const child = await this.#warm(cell);
    if (this.#stopping.signal.aborted) return false;
    // Claimed only now: its lease does not run while a process starts.
    const run = one(await claimSuspect(db, { workerId, graphIds, leaseSeconds }));
    if (run === undefined) return false;
    this.#deps.metrics.suspects.inc();
    this.#working += 1;
    const end = await child.work(run);
    this.#working -= 1;
    // What failed may have left something behind that kills the next one.
    if ("died" in end || end.ended !== "success") await this.#end(cell);
    // Killed by our own stop, it is not to blame: its lease runs out.
    if ("died" in end && !this.#stopping.signal.aborted) await this.#charge(run, end.died);
    return true;
  }

  async #warm(cell: Cell): Promise<IsolatedChild> {
    if (cell.child?.alive) return cell.child;
    await this.#end(cell);
    cell.child = await this.#deps.startChild();
    this.#children.add(cell.child);
    return cell.child;
  }

  async #end(cell: Cell): Promise<void> {
    const { child } = cell;
    if (child === undefined) return;
    cell.child = undefined;
    this.#children.delete(child);
    await child.stop(0);
  }

  async #charge(run: RunRow, death: Death): Promise<void> {
    const { db, bus, log, metrics } = this.#deps;
    const { run_id, thread_id, graph_id } = run;
    const end = await pRetry(() => chargeCrash(db, run, death), {
      minTimeout: 50,
      maxTimeout: 1_000,
      maxRetryTime: chargeSecondsMax * 1_000,
      shouldRetry: ({ error }) => isDatabaseAway(error),
    });
    log.warn(
      { run_id, thread_id, graph: graph_id, how: death.how, end: end.kind },
      "a run killed its process",
    );
    if (end.kind === "buried") {
      metrics.crashBudget.inc();
      tellDead({ log, metrics }, run, end.error);
    }
    bus.publish("run", run_id);
    bus.publish("queue", thread_id);
  }

  /** A while, then until a notification or the poll interval; no longer than the while when there was news since `seen`. */
  async #idle(seen: number): Promise<void> {
    const { signal } = this.#stopping;
    await sleep(lookMillisMin, undefined, { signal }).catch(() => undefined);
    if (seen !== this.#news || signal.aborted) return;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => this.#wakes.add(resolve));
    const slept = sleep(this.#options.pollMillis, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([woken, slept]);
    timer.abort();
  }

  #wakeUp(): void {
    this.#news += 1;
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }
}
