import { z } from "zod";
import { escalationStatuses, responseTypes } from "../../domain/escalation.ts";
import { limit, offset, shortText, threadName } from "./common.ts";

const listSizeDefault = 50;
const commentCharsMax = 10_000;

export const escalationsQuery = z.object({
  status: z.enum(escalationStatuses).optional(),
  thread_id: threadName.optional(),
  graph_id: shortText.optional(),
  limit: limit.default(listSizeDefault),
  offset,
});

export const decideBody = z.object({
  decision: z.enum(responseTypes).nullish(),
  args: z.unknown().optional(),
  comment: z.string().max(commentCharsMax).nullish(),
  resume: z.unknown().optional(),
});
export type DecideBody = z.infer<typeof decideBody>;
