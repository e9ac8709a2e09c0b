import { NotFound } from "../../domain/errors.ts";
import type { HttpDeps } from "../deps.ts";
import { follow } from "../following.ts";
import type { EventFilter } from "../schemas/protocol.ts";
import { eventStream, frame, heartbeat } from "../sse.ts";
import { type Place, wants } from "./filter.ts";
import { Tape, type ThreadName } from "./tape.ts";

interface Asked extends Place {
  thread: ThreadName;
  filter: EventFilter;
  /** Of a thread that was not there yet: whether it is now. Throws NotFound when the caller may not see it. */
  mayRead?: (() => Promise<boolean>) | undefined;
}

/** The events of a thread that a client asked for, as server-sent events, until it leaves or the thread is deleted. */
export function streamEvents(deps: HttpDeps, asked: Asked, onClose: () => void): Response {
  return eventStream(deps, (signal) => frames(deps, asked, signal), { onClose });
}

async function hidden(mayRead: () => Promise<boolean>): Promise<boolean> {
  try {
    return !(await mayRead());
  } catch (error) {
    if (error instanceof NotFound) return true;
    throw error;
  }
}

async function* frames(
  deps: HttpDeps,
  { thread, filter, at, reset, mayRead }: Asked,
  signal: AbortSignal,
): AsyncGenerator<string> {
  if (reset !== undefined) yield frame({ event: "reset", data: JSON.stringify({ reason: reset }) });
  const source = new Tape(deps, thread, at);
  for await (const piece of follow(deps, { threadId: thread.threadId, source }, signal)) {
    if (piece === "beat") yield heartbeat;
    else {
      if (mayRead !== undefined && (await hidden(mayRead))) return;
      const shown = piece.frames.filter((event) => wants(filter, event));
      const text = shown.map(({ at: { epoch, n }, method, text: data }) =>
        frame({ event: method, data, seq: `${epoch}-${n}` }),
      );
      if (text.length > 0) yield text.join("");
    }
  }
}
