import { z } from "zod";
import {
  limit,
  metadata,
  offset,
  openRecord,
  pageSizeDefault,
  pageSizeMax,
  shortText,
  uuid,
} from "./common.ts";
import { checkpointRef } from "./run.ts";

const threadStatus = z.enum(["idle", "busy", "interrupted", "error"]);

export const createThreadBody = z.object({
  thread_id: uuid.nullish(),
  metadata: metadata.nullish(),
  if_exists: z.enum(["raise", "do_nothing"]).nullish(),
  // Left out in silence, the thread would look like it had the states the caller sent.
  supersteps: z.array(z.unknown()).max(0, "supersteps are not supported").nullish(),
});

export const patchThreadBody = z.object({ metadata: metadata.nullish() });

export const countThreadsBody = z.object({
  metadata: metadata.nullish(),
  ids: z.array(uuid).max(pageSizeMax).nullish(),
  status: threadStatus.nullish(),
  values: openRecord.nullish(),
});

export const searchThreadsBody = countThreadsBody.extend({
  limit: limit.default(pageSizeDefault),
  offset,
  sort_by: z.enum(["thread_id", "status", "created_at", "updated_at"]).nullish(),
  sort_order: z.enum(["asc", "desc"]).nullish(),
  select: z.array(shortText).max(20).nullish(),
});

export const updateStateBody = z.object({
  values: z.unknown().optional(),
  as_node: shortText.nullish(),
  checkpoint: checkpointRef.nullish(),
  checkpoint_id: shortText.nullish(),
});

export const stateAtBody = z.object({ checkpoint: checkpointRef, subgraphs: z.boolean().nullish() });

export const historyBody = z.object({
  limit: limit.default(pageSizeDefault),
  before: z.union([shortText, z.object({ configurable: checkpointRef }), checkpointRef]).nullish(),
  metadata: metadata.nullish(),
  checkpoint: checkpointRef.nullish(),
});
