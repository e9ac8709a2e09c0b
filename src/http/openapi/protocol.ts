import { z } from "zod";
import { commandBody, eventFilter } from "../schemas/protocol.ts";
import { answer, content, nothing, operationsOf } from "./operation.ts";

const success = z.object({
  type: z.literal("success"),
  id: z.number().int(),
  result: z.record(z.string(), z.unknown()),
  meta: z.object({ thread_id: z.guid(), applied_through_seq: z.number().int() }),
});
const failure = z.object({
  type: z.literal("error"),
  id: z.number().int().nullable(),
  error: z.string(),
  message: z.string(),
});

export const protocolOperations = operationsOf("Streaming protocol", [
  {
    route: "POST /threads/:thread_id/commands",
    id: "sendCommand",
    summary:
      "A command of the newer streaming protocol: run.start, input.respond, state.get or agent.getTree",
    body: commandBody,
    headers: { "idempotency-key": "the same run for a day, however often this is sent" },
    answers: { 200: answer(z.union([success, failure]), "what came of it, also when it was refused") },
  },
  {
    route: "POST /threads/:thread_id/stream/events",
    id: "streamThreadEvents",
    summary: "Follows the events of a thread that match a filter, over all its runs",
    body: eventFilter,
    headers: { "last-event-id": "the last event that the client has got" },
    answers: { 200: content("text/event-stream", "server-sent events, each with an id to come back to") },
  },
  {
    route: "GET /threads/:thread_id/stream/events",
    id: "openThreadSocket",
    summary: "Commands and events of a thread over one WebSocket",
    answers: { 101: nothing("a WebSocket") },
    refusals: [426],
  },
]);
