// Graph code runs as a guest in our process. What it lets fall (a rejected promise nobody looks at, an exception out
// of a timer, a call of process.exit) is traced to its run, and ends that run alone.
import { AsyncLocalStorage } from "node:async_hooks";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { Cancelled, DatabaseAway, EffectUnsettled, Fatal, LeaseLost } from "../domain/errors.ts";
import type { Log } from "../observe/log.ts";

/** Node has one such context for each asynchronous chain of calls, and so there is one storage for each process. */
const guests = new AsyncLocalStorage<Guest>();

/** How long a rejected promise may wait for somebody to look at it. */
const lookMillisMax = 100;

/** The graph code of one attempt. */
export class Guest {
  readonly runId: string;
  readonly #signal: AbortSignal;
  readonly #end: (error: Fatal) => void;
  readonly #rejected = new Map<Promise<unknown>, { error: Fatal; timer: NodeJS.Timeout }>();
  #left = false;

  constructor(runId: string, { signal, end }: { signal: AbortSignal; end: (error: Fatal) => void }) {
    this.runId = runId;
    this.#signal = signal;
    this.#end = end;
  }

  /** Runs the graph; throws what it let fall when it ended well otherwise. */
  async host<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await guests.run(this, work);
      const [stray] = this.#rejected.values();
      if (stray !== undefined) throw stray.error;
      return result;
    } finally {
      this.#left = true;
      for (const { timer } of this.#rejected.values()) clearTimeout(timer);
      this.#rejected.clear();
    }
  }

  /** Does something that calls graph code back, like an abort: what that lets fall is this guest's. */
  within(work: () => void): void {
    guests.run(this, work);
  }

  /** Whether it is over with this attempt: what falls now harms nobody. LangGraph itself leaves rejected promises
   * behind when a run is aborted or ends. */
  get gone(): boolean {
    return this.#left || this.#signal.aborted;
  }

  end(error: Fatal): void {
    if (!this.gone) this.#end(error);
  }

  rejected(promise: Promise<unknown>, error: Fatal): void {
    const timer = setTimeout(() => this.end(error), lookMillisMax);
    this.#rejected.set(promise, { error, timer });
  }

  /** Somebody looked after all. */
  handled(promise: Promise<unknown>): void {
    clearTimeout(this.#rejected.get(promise)?.timer);
    this.#rejected.delete(promise);
  }
}

/** Sets the traps of this process, until the returned function is called. What belongs to no run is logged; an
 * exception then ends the process, and its runs have lost their worker. */
export function trapStrays(log: Log): () => void {
  const waiting = new WeakMap<Promise<unknown>, Guest>();
  const exitOfProcess = process.exit;
  const exit = exitOfProcess.bind(process);
  const onRejected = (error: unknown, promise: Promise<unknown>): void => {
    const guest = guests.getStore();
    if (guest === undefined) {
      log.error({ error }, "a promise was rejected and nobody looked");
      return;
    }
    if (guest.gone || isOurs(error)) return;
    log.warn({ error, run_id: guest.runId }, "graph code left a rejected promise behind");
    waiting.set(promise, guest);
    guest.rejected(promise, stray("unhandled_rejection", "a promise was rejected and nobody looked", error));
  };
  const onHandled = (promise: Promise<unknown>): void => waiting.get(promise)?.handled(promise);
  const onUncaught = (error: unknown): void => {
    const guest = guests.getStore();
    if (guest === undefined) {
      log.error({ error }, "an exception that nobody caught and that belongs to no run: ending the process");
      exit(1);
      return;
    }
    if (guest.gone) {
      log.warn({ error, run_id: guest.runId }, "an attempt that is over threw");
      return;
    }
    log.warn({ error, run_id: guest.runId }, "graph code threw where nobody catches");
    guest.end(stray("uncaught_exception", "an exception was thrown where nobody catches", error));
  };
  process.on("unhandledRejection", onRejected);
  process.on("rejectionHandled", onHandled);
  process.on("uncaughtException", onUncaught);
  process.exit = ((code?: number) => {
    const guest = guests.getStore();
    if (guest === undefined) return exit(code);
    const error = new Fatal(`graph code called process.exit(${code ?? ""})`, { code: "process_exit" });
    guest.end(error);
    throw error;
  }) as typeof process.exit;
  return () => {
    process.off("unhandledRejection", onRejected);
    process.off("rejectionHandled", onHandled);
    process.off("uncaughtException", onUncaught);
    process.exit = exitOfProcess;
  };
}

/** Ways in which an attempt is stopped, not faults of its graph. */
function isOurs(error: unknown): boolean {
  const ours = [Cancelled, DatabaseAway, EffectUnsettled, LeaseLost].some((kind) => error instanceof kind);
  return ours || isGraphBubbleUp(error) || (error instanceof Error && error.name === "AbortError");
}

/** With the stack of what fell: ours would only show the trap. */
function stray(code: string, what: string, cause: unknown): Fatal {
  const known = cause instanceof Error;
  const error = new Fatal(`${what}: ${known ? cause.message : String(cause)}`, { code, cause });
  if (known && cause.stack !== undefined) error.stack = cause.stack;
  return error;
}
