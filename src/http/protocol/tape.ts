// The events of a thread in the form of the newer streaming protocol, read from the rows of its runs. Any process can
// read them, at any time: nothing of a stream is held in memory but the place it has got to.
import * as protocol from "../../db/queries/protocol.ts";
import { nextRun } from "../../db/queries/thread-stream.ts";
import { one } from "../../db/query.ts";
import type { Position } from "../../domain/position.ts";
import type { HttpDeps } from "../deps.ts";
import type { Source } from "../following.ts";
import { readPage } from "../sse.ts";
import { type Frame, lifecycleFrame, storedFrame } from "./frame.ts";

export interface ThreadName {
  threadId: string;
  tenant: string;
}

/** Events up to a place. */
export interface Stretch {
  frames: Frame[];
  at: Position;
}

type Next = Stretch | "nothing" | "gone" | "away";

/** Reads a thread's events on from a place, a page at a time. A thread that is not there yet is waited for. */
export class Tape implements Source<Stretch> {
  readonly #deps: HttpDeps;
  readonly #thread: ThreadName;
  #at: Position;
  /** The run that the place is in, until its end has been told; undefined while that is not known. */
  #run: protocol.TapeRun | null | undefined;
  /** Whether something of that run has been read just now. */
  #followed = false;
  #found = false;
  watched: string | null = null;

  constructor(deps: HttpDeps, thread: ThreadName, at: Position) {
    this.#deps = deps;
    this.#thread = thread;
    this.#at = at;
  }

  async next(): Promise<Next> {
    if (this.#run === undefined) {
      const { epoch } = this.#at;
      this.#run = one(await protocol.runAtEpoch(this.#deps.db, { ...this.#thread, epoch })) ?? null;
    }
    return this.#run === null ? this.#between() : this.#within(this.#run);
  }

  async #within(run: protocol.TapeRun): Promise<Next> {
    this.watched = run.runId;
    const page = await readPage(this.#deps, run.runId, this.#at.n);
    if (page === undefined) return "away";
    const { epoch } = this.#at;
    if (page.events.length > 0) {
      this.#at = { epoch, n: page.events.at(-1)?.seq ?? this.#at.n };
      this.#followed = true;
      const frames = page.events.map((stored) => storedFrame(run, epoch, stored));
      return this.#told(run, frames);
    }
    return page.ended ? this.#told(run, [await this.#end(run)]) : "nothing";
  }

  #told({ shown }: protocol.TapeRun, frames: (Frame | undefined)[]): Stretch {
    return { frames: shown ? frames.filter((frame) => frame !== undefined) : [], at: this.#at };
  }

  /** The end of a run whose last event does not tell it, under the number behind that event. */
  async #end(run: protocol.TapeRun): Promise<Frame | undefined> {
    const end = one(await protocol.runEnd(this.#deps.db, { runId: run.runId }));
    const { epoch, n } = this.#at;
    const followed = this.#followed;
    this.#run = null;
    this.#followed = false;
    const behind = end === undefined ? n + 1 : (end.last?.n ?? -1) + 1;
    // A run that was rolled back is gone, with its events: who has seen some of them is told that no more will come.
    if (end === undefined ? !followed : n >= behind || tellsTheEnd(run, end.last?.event)) return undefined;
    this.#at = { epoch, n: behind };
    const when = end?.at ?? new Date(0);
    return lifecycleFrame(run, { at: this.#at, when, ...terminal(end) });
  }

  async #between(): Promise<Next> {
    const next = one(await nextRun(this.#deps.db, { ...this.#thread, epoch: this.#at.epoch }));
    if (next === undefined) return this.#found ? "gone" : "nothing";
    this.#found = true;
    this.watched = next.runId;
    if (next.firstEpoch === null || next.runId === null) return "nothing";
    this.#at = { epoch: next.firstEpoch, n: -1 };
    this.#run = undefined;
    return { frames: [], at: this.#at };
  }
}

const tellsTheEnd = ({ protocol }: protocol.TapeRun, lastEvent: string | undefined): boolean =>
  lastEvent === "error" || (protocol && lastEvent === "lifecycle");

/** How a run has ended, as the protocol says it. */
export function terminal(end: protocol.RunEnd | undefined): {
  event: "completed" | "failed" | "interrupted";
  error?: string | undefined;
} {
  if (end?.status === "success") return { event: end.asked ? "interrupted" : "completed" };
  if (end?.status === "error" || end?.status === "timeout")
    return { event: "failed", error: end.error?.message };
  return { event: "interrupted" };
}
