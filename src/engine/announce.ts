import type { Database } from "../db/pool.ts";
import { openMessages } from "../db/queries/protocol.ts";
import type { RunRow } from "../db/queries/rows.ts";
import type { RunEvents } from "../domain/event.ts";
import { isFirstClaim } from "../domain/run.ts";
import { protocolState } from "./protocol-state.ts";
import type { Graph } from "./registry.ts";
import { toPlain, toWire } from "./wire.ts";

interface Stage {
  db: Database;
  graph: Graph;
  events: RunEvents;
}

/** Every attempt's stream starts with its number. The first one's is stored by its claim; a later one repeats the stored
 * values behind it, so that a client can drop the tokens of the step that was cut off. */
export async function announce({ db, graph, events }: Stage, run: RunRow): Promise<void> {
  if (isFirstClaim(run)) return;
  events.ready({ event: "metadata", data: toWire({ run_id: run.run_id, attempt: run.attempt }), step: null });
  const protocol = run.kwargs.stream_protocol === "v2";
  if (!protocol && run.attempt <= 1) return;
  if (protocol) await closeMessages({ db, events }, run);
  if (!run.kwargs.stream_mode.includes("values")) return;
  const { values, createdAt } = await graph.getState({ configurable: { thread_id: run.thread_id } });
  const shown = protocol ? protocolState(toPlain(values)) : values;
  if (createdAt !== undefined) events.ready({ event: "values", data: toWire(shown), step: null });
}

/** A message whose end will never come is ended, so that nobody waits for the rest of it. */
async function closeMessages({ db, events }: Omit<Stage, "graph">, { run_id: runId }: RunRow): Promise<void> {
  for (const { event, messageRun } of await openMessages(db, { runId })) {
    const data = {
      event: "error",
      message: "the attempt was cut off: its step starts over",
      code: "attempt_cut_off",
      ...(messageRun === null ? {} : { run_id: messageRun }),
    };
    events.ready({ event, data: toWire(data), step: null });
  }
}
