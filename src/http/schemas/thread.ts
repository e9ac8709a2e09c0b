import { z } from "zod";
import { sortColumns } from "../../db/queries/threads.ts";
import { type ThreadTtl, ttlStrategies } from "../../domain/lifetimes.ts";
import { extractPathCharsMax, extractPathHint, extractsMax, isExtractPath } from "../extract.ts";
import {
  limit,
  metadata,
  offset,
  openRecord,
  pageSizeDefault,
  pageSizeMax,
  shortText,
  threadName,
} from "./common.ts";
import { checkpointRef, stateCommand } from "./run.ts";

const threadStatus = z.enum(["idle", "busy", "interrupted", "error"]);
const superstepsMax = 1_000;
const updatesPerSuperstepMax = 100;
const ttlMinutesMax = 10 * 365 * 24 * 60;
const threadsPerPruneMax = 100;

const minutes = z.number().positive().max(ttlMinutesMax);
/** Both forms that the SDK sends. */
const ttl = z
  .union([minutes, z.object({ ttl: minutes, strategy: z.enum(ttlStrategies).nullish() })], {
    error: `a number of minutes up to ${ttlMinutesMax}, or {"ttl": minutes, "strategy": "delete" or "keep_latest"}`,
  })
  .transform((value): ThreadTtl => {
    if (typeof value === "number") return { minutes: value, strategy: "delete" };
    return { minutes: value.ttl, strategy: value.strategy ?? "delete" };
  });

const update = z.object({
  values: z.unknown().optional(),
  command: stateCommand.nullish(),
  as_node: shortText,
});
const superstep = z.object({ updates: z.array(update).min(1).max(updatesPerSuperstepMax) });

export const createThreadBody = z.object({
  thread_id: threadName.nullish(),
  metadata: metadata.nullish(),
  if_exists: z.enum(["raise", "do_nothing"]).nullish(),
  supersteps: z.array(superstep).max(superstepsMax).nullish(),
  ttl: ttl.nullish(),
});

/** A ttl of null removes the one that is there. */
export const patchThreadBody = z.object({ metadata: metadata.nullish(), ttl: ttl.nullish() });
export const patchStateBody = z.object({ metadata });

export const copyThreadBody = z.object({ holdfast_effects: z.literal("repeat").nullish() });

export const pruneThreadsBody = z.object({
  thread_ids: z.array(threadName).max(threadsPerPruneMax),
  strategy: z.enum(ttlStrategies).default("delete"),
});

export const countThreadsBody = z.object({
  metadata: metadata.nullish(),
  ids: z.array(threadName).max(pageSizeMax).nullish(),
  status: threadStatus.nullish(),
  values: openRecord.nullish(),
});

const extractPath = z.string().max(extractPathCharsMax).refine(isExtractPath, extractPathHint);

export const searchThreadsBody = countThreadsBody.extend({
  limit: limit.default(pageSizeDefault),
  offset,
  sort_by: z.enum(sortColumns).nullish(),
  sort_order: z.enum(["asc", "desc"]).nullish(),
  select: z.array(shortText).max(20).nullish(),
  extract: z
    .record(shortText, extractPath)
    .refine((paths) => Object.keys(paths).length <= extractsMax, `${extractsMax} paths at most`)
    .nullish(),
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

export const historyQuery = z.object({ limit: limit.default(pageSizeDefault), before: shortText.optional() });
