import type { HttpDeps } from "../deps.ts";
import { follow, heartbeat } from "../following.ts";
import type { EventFilter } from "../schemas/protocol.ts";
import { eventStream, frame } from "../sse.ts";
import { type Place, wants } from "./filter.ts";
import { Tape, type ThreadName } from "./tape.ts";

interface Asked extends Place {
  thread: ThreadName;
  filter: EventFilter;
}

/** The events of a thread that a client asked for, as server-sent events, until it leaves or the thread is deleted. */
export function streamEvents(deps: HttpDeps, asked: Asked): Response {
  return eventStream(deps, (signal) => frames(deps, asked, signal), {});
}

async function* frames(
  deps: HttpDeps,
  { thread, filter, at, reset }: Asked,
  signal: AbortSignal,
): AsyncGenerator<string> {
  if (reset !== undefined) yield frame({ event: "reset", data: JSON.stringify({ reason: reset }) });
  const source = new Tape(deps, thread, at);
  for await (const piece of follow(deps, { threadId: thread.threadId, source }, signal)) {
    if (piece === "beat") yield heartbeat;
    else {
      const shown = piece.frames.filter((event) => wants(filter, event));
      const text = shown.map(({ at: { epoch, n }, method, text: data }) =>
        frame({ event: method, data, seq: `${epoch}-${n}` }),
      );
      if (text.length > 0) yield text.join("");
    }
  }
}
