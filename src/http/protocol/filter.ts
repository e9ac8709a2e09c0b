import { matchesSubscription } from "@langchain/langgraph/stream";
import * as protocol from "../../db/queries/protocol.ts";
import { one } from "../../db/query.ts";
import { type Position, positionOfId, positionOfSeq, seqOf, threadStart } from "../../domain/position.ts";
import type { HttpDeps } from "../deps.ts";
import type { EventFilter } from "../schemas/protocol.ts";
import type { Frame } from "./frame.ts";
import type { ThreadName } from "./tape.ts";

/** Who shows no place gets the runs again that were open within this time: longer than a client tries to reconnect. */
const replaySecondsMax = 600;

/** Whether a client asked for this event. */
export function wants(
  { channels, namespaces, depth }: EventFilter,
  { method, namespace, name }: Frame,
): boolean {
  const event = { method, params: { namespace, data: name === undefined ? {} : { name } } };
  return matchesSubscription(event, {
    channels,
    ...(namespaces == null ? {} : { namespaces }),
    ...(depth == null ? {} : { depth }),
  });
}

export interface Place {
  at: Position;
  /** Why the client gets events again, when the place it shows means nothing to us. */
  reset?: string;
}

/** Where a client goes on that shows an event's id or number; without one, where the runs of the last minutes begin. */
export async function placeOf(
  { db }: HttpDeps,
  thread: ThreadName,
  { id, since }: { id?: string | null | undefined; since?: number | null | undefined },
): Promise<Place> {
  const shown = id === undefined || id === null || id === "" ? since : id;
  if (shown === "-" || shown === "-1" || shown === 0) return { at: threadStart };
  if (shown === undefined || shown === null) {
    const epoch = one(await protocol.tapeStart(db, { ...thread, seconds: replaySecondsMax })) ?? 0;
    return { at: { epoch, n: -1 } };
  }
  const at = typeof shown === "number" ? positionOfSeq(shown) : positionOfId(shown);
  const end = one(await protocol.tapeEnd(db, thread));
  // The end of a run may stand one behind its last event.
  if (at !== undefined && end !== undefined && seqOf(at) <= seqOf(end) + 1) return { at };
  return { at: threadStart, reset: `${String(shown).slice(0, 40)} is not an event of this thread` };
}
