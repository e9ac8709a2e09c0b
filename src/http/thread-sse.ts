// The stream of a thread: its runs one after the other, and the states that were written on it in between. An event's
// id is `<epoch>-<n>`: runs of a thread work one at a time under ever higher epochs, so the ids rise over all of them.
import { lastSeq } from "../db/queries/events.ts";
import type { ThreadHead } from "../db/queries/rows.ts";
import * as stream from "../db/queries/thread-stream.ts";
import { getThreadHead } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import { NotFound } from "../domain/errors.ts";
import { idOf, type Position, positionOfId, threadStart } from "../domain/position.ts";
import { readState } from "../engine/state.ts";
import type { HttpDeps } from "./deps.ts";
import { follow, type Source } from "./following.ts";
import { eventStream, frame, heartbeat, readPage } from "./sse.ts";

export const threadStreamModes = ["run_modes", "lifecycle", "state_update"] as const;
export type ThreadStreamMode = (typeof threadStreamModes)[number];

const updatesPerReadMax = 20;
/** Behind every event of its epoch. */
const behindAll = 2 ** 31 - 1;

interface Following {
  thread: ThreadHead;
  modes: readonly ThreadStreamMode[];
  at: Position;
  /** Why the client gets everything again. */
  reset?: string | undefined;
  /** Called once when the stream is over. */
  onClose: () => void;
}

/** Follows a thread until the client leaves or the thread is deleted. */
export function streamThread(deps: HttpDeps, following: Following): Response {
  const { thread, at, onClose } = following;
  // A client that has got no event yet goes on from here when it comes back.
  const location = `/threads/${thread.thread_id}/stream?after=${idOf(at)}`;
  return eventStream(deps, (signal) => frames(deps, following, signal), { headers: { location }, onClose });
}

/**
 * Where a client goes on that shows an id; without one at the run under way, else at what comes next. `-` and `-1`
 * are the start.
 */
export async function placeOf(
  { db }: HttpDeps,
  { thread_id: threadId, tenant }: ThreadHead,
  shown: string | undefined,
): Promise<Pick<Following, "at" | "reset">> {
  const { last, open } = one(await stream.lastEpoch(db, { threadId, tenant })) ?? { last: 0, open: null };
  if (shown === undefined || shown === "") {
    return { at: open === null ? { epoch: last, n: behindAll } : { epoch: open, n: -1 } };
  }
  if (shown === "-" || shown === "-1") return { at: threadStart };
  const named = positionOfId(shown);
  if (named !== undefined && named.epoch <= last)
    return { at: { epoch: named.epoch, n: Math.min(named.n, behindAll) } };
  return { at: threadStart, reset: `Last-Event-ID ${shown.slice(0, 40)} is not an event of this thread` };
}

interface Piece {
  /** Frames to send, perhaps none that the client asked for. */
  text: string;
}

async function* frames(deps: HttpDeps, following: Following, signal: AbortSignal): AsyncGenerator<string> {
  const { reset, thread } = following;
  if (reset !== undefined) yield frame({ event: "reset", data: JSON.stringify({ reason: reset }) });
  const source = new Follower(deps, following);
  for await (const piece of follow(deps, { threadId: thread.thread_id, source }, signal)) {
    if (piece === "beat") yield heartbeat;
    else if (piece.text !== "") yield piece.text;
  }
}

type Next = Piece | "nothing" | "gone" | "away";

/** Reads a thread on from a place, a piece at a time. */
class Follower implements Source<Piece> {
  readonly #deps: HttpDeps;
  readonly #name: { threadId: string; tenant: string };
  readonly #modes: readonly ThreadStreamMode[];
  #at: Position;
  /** The run that the place is in, until its end has been told; undefined while that is not known. */
  #run: string | null | undefined;
  /** Whether this client has got events of that run just now: then its end is still to be told. */
  #followed = false;
  /** No state was written up to here that was not told. */
  #looked = -1;
  /** The run whose news matter now. */
  watched: string | null = null;

  constructor(deps: HttpDeps, { thread, modes, at }: Following) {
    this.#deps = deps;
    this.#name = { threadId: thread.thread_id, tenant: thread.tenant };
    this.#modes = modes;
    this.#at = at;
  }

  async next(): Promise<Next> {
    if (this.#run === undefined) {
      this.#run = one(await stream.runAt(this.#deps.db, { ...this.#name, epoch: this.#at.epoch })) ?? null;
    }
    return this.#run === null ? this.#between() : this.#within(this.#run);
  }

  async #within(runId: string): Promise<Next> {
    this.watched = runId;
    const page = await readPage(this.#deps, runId, this.#at.n);
    if (page === undefined) return "away";
    const { epoch } = this.#at;
    if (page.events.length > 0) {
      this.#at = { epoch, n: page.events.at(-1)?.seq ?? this.#at.n };
      this.#followed = true;
      const shown = page.events.filter(({ event }) => this.#shows(event));
      return { text: shown.map((event) => frame({ ...event, seq: idOf({ epoch, n: event.seq }) })).join("") };
    }
    if (!page.ended) return "nothing";
    const last = one(await lastSeq(this.#deps.db, { runId })) ?? -1;
    const told = !this.#followed && this.#at.n > last;
    this.#run = null;
    this.#followed = false;
    if (told) return { text: "" };
    this.#at = { epoch, n: this.#at.n + 1 };
    const data = JSON.stringify({ status: "run_done", run_id: runId });
    const seq = idOf(this.#at);
    return { text: this.#shows("metadata") ? frame({ event: "metadata", data, seq }) : "" };
  }

  async #between(): Promise<Next> {
    const { db } = this.#deps;
    const next = one(await stream.nextRun(db, { ...this.#name, epoch: this.#at.epoch }));
    if (next === undefined) return "gone";
    const updates = await this.#updates(next);
    if (updates !== undefined) return updates;
    this.watched = next.runId;
    if (next.firstEpoch === null || next.runId === null) return "nothing";
    this.#at = { epoch: next.firstEpoch, n: -1 };
    this.#run = next.runId;
    return { text: "" };
  }

  /** States that were written over HTTP before the next run, and not told yet. */
  async #updates({
    epoch,
    firstEpoch,
  }: {
    epoch: number;
    firstEpoch: number | null;
  }): Promise<Piece | undefined> {
    if (!this.#modes.includes("state_update") || epoch <= this.#looked) return undefined;
    const { db } = this.#deps;
    const found = await stream.updatesAfter(db, {
      threadId: this.#name.threadId,
      ...this.#at,
      before: firstEpoch,
      limit: updatesPerReadMax,
    });
    const last = found.at(-1);
    if (last === undefined) {
      if (firstEpoch === null) this.#looked = epoch;
      return undefined;
    }
    const thread = one(await getThreadHead(db, this.#name));
    if (thread === undefined) return { text: "" };
    const texts: string[] = [];
    for (const update of found) texts.push(await this.#updateFrame(thread, update));
    this.#at = { epoch: last.epoch, n: last.n };
    return { text: texts.join("") };
  }

  async #updateFrame(
    thread: ThreadHead,
    { checkpointId, ...at }: Position & { checkpointId: string },
  ): Promise<string> {
    try {
      const state = await readState(this.#deps, thread, {
        at: { checkpoint_id: checkpointId },
        subgraphs: false,
      });
      const data = JSON.stringify({ thread_id: thread.thread_id, state });
      return frame({ event: "state_update", data, seq: idOf(at) });
    } catch (error) {
      // Pruned meanwhile, or its graph is not served any more.
      if (error instanceof NotFound) return "";
      throw error;
    }
  }

  #shows(event: string): boolean {
    return this.#modes.includes("run_modes") || (event === "metadata" && this.#modes.includes("lifecycle"));
  }
}
