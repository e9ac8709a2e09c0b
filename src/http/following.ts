import { classify } from "../domain/classify.ts";
import { Transient } from "../domain/errors.ts";
import type { HttpDeps } from "./deps.ts";
import { pause } from "./sse.ts";
import { wakeOn } from "./wake.ts";

/** Reads a thread on from a place, a piece at a time. */
export interface Source<Piece> {
  next(): Promise<Piece | "nothing" | "gone">;
  /** The run whose news matter now. */
  readonly watched: string | null;
}

export const heartbeat = ": heartbeat\n\n";

/** The pieces of a thread as they come, and a beat where none has come for long, until the reader or the thread is gone. */
export async function* follow<Piece extends object>(
  deps: HttpDeps,
  { threadId, source }: { threadId: string; source: Source<Piece> },
  signal: AbortSignal,
): AsyncGenerator<Piece | "beat"> {
  const wake = wakeOn(deps.bus, {
    topics: ["run", "queue"],
    concerns: (id) => id === threadId || id === source.watched,
  });
  const heartbeatMillis = deps.config.heartbeatSeconds * 1000;
  let nextBeat = performance.now() + heartbeatMillis;
  try {
    while (!signal.aborted) {
      const piece = await orNothingYet(deps, () => source.next());
      if (piece === "gone") return;
      if (piece === "nothing") await pause(deps, { wake, nextBeat, signal });
      else yield piece;
      if (performance.now() >= nextBeat) {
        nextBeat += heartbeatMillis;
        yield "beat";
      }
    }
  } finally {
    wake.close();
  }
}

async function orNothingYet<T>({ log }: HttpDeps, read: () => Promise<T>): Promise<T | "nothing"> {
  try {
    return await read();
  } catch (error) {
    if (!(classify(error) instanceof Transient)) throw error;
    log.warn({ error }, "a thread's stream waits for the database");
    return "nothing";
  }
}
