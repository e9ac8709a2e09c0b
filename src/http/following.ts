import { classify } from "../domain/classify.ts";
import { Transient } from "../domain/errors.ts";
import type { HttpDeps } from "./deps.ts";
import { firstBeat, untilNews } from "./sse.ts";

/** Reads a thread on from a place, a piece at a time. */
export interface Source<Piece> {
  /** "away" while the database does not answer. */
  next(): Promise<Piece | "nothing" | "gone" | "away">;
  /** The run whose news matter now. */
  readonly watched: string | null;
}

/** The pieces of a thread as they come, and a beat where none has come for long, until the reader or the thread is gone. */
export async function* follow<Piece extends object>(
  deps: HttpDeps,
  { threadId, source }: { threadId: string; source: Source<Piece> },
  signal: AbortSignal,
): AsyncGenerator<Piece | "beat"> {
  const thread = { kind: "thread", id: threadId } as const;
  const wake = deps.wakes.on(thread);
  const beat = firstBeat(deps);
  let watched: string | null = null;
  try {
    while (!signal.aborted) {
      const piece = await orAway(deps, () => source.next());
      if (piece === "gone") return;
      const turned = source.watched !== watched;
      watched = source.watched;
      if (turned) wake.turnTo(watched === null ? [thread] : [thread, { kind: "run", id: watched }]);
      if (piece !== "nothing" && piece !== "away") yield piece;
      // What a run told before it was watched was not heard: it is read again before the wait.
      else if (!turned) yield* untilNews(deps, { wake, beat, signal, away: piece === "away" });
    }
  } finally {
    wake.close();
  }
}

async function orAway<T>({ log }: HttpDeps, read: () => Promise<T>): Promise<T | "away"> {
  try {
    return await read();
  } catch (error) {
    if (!(classify(error) instanceof Transient)) throw error;
    log.warn({ error }, "a thread's stream waits for the database");
    return "away";
  }
}
