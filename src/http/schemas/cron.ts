import { z } from "zod";
import { cronSorts } from "../../db/queries/crons.ts";
import { systemAssistantId } from "../../domain/ids.ts";
import { missedPolicies } from "../../domain/schedule.ts";
import { limit, metadata, offset, pageSizeDefault, shortText, threadName, uuid } from "./common.ts";
import { runBody } from "./run.ts";

const { shape } = runBody;

/** What each run of a cron gets. */
const payload = {
  input: shape.input,
  config: shape.config,
  context: shape.context,
  webhook: shape.webhook,
  interrupt_before: shape.interrupt_before,
  interrupt_after: shape.interrupt_after,
  stream_mode: shape.stream_mode,
  stream_subgraphs: shape.stream_subgraphs,
  stream_resumable: shape.stream_resumable,
  multitask_strategy: shape.multitask_strategy,
  durability: shape.durability,
};
export const payloadKeys = Object.keys(payload) as (keyof typeof payload)[];

const endTime = z.iso.datetime({ offset: true, error: "a time with its offset, as 2030-01-31T09:00:00Z" });
const settings = {
  timezone: shortText.nullish(),
  end_time: endTime.transform((text) => new Date(text)).nullish(),
  enabled: z.boolean().nullish(),
  on_run_completed: z.enum(["delete", "keep"]).nullish(),
  missed: z.enum(missedPolicies).nullish(),
  metadata: metadata.nullish(),
};

export const createCronBody = z.object({
  assistant_id: shape.assistant_id,
  schedule: shortText,
  ...settings,
  ...payload,
});
export type CreateCronBody = z.infer<typeof createCronBody>;

/** What is left out stays as it is. */
export const patchCronBody = z.object({ schedule: shortText.nullish(), ...settings, ...payload });
export type PatchCronBody = z.infer<typeof patchCronBody>;

export const countCronsBody = z.object({
  /** An id, or a graph's name for its own assistant. */
  assistant_id: shortText.transform((text) => uuid.safeParse(text).data ?? systemAssistantId(text)).nullish(),
  thread_id: threadName.nullish(),
  enabled: z.boolean().nullish(),
  metadata: metadata.nullish(),
});

export const searchCronsBody = countCronsBody.extend({
  limit: limit.default(pageSizeDefault),
  offset,
  sort_by: z.enum(cronSorts).nullish(),
  sort_order: z.enum(["asc", "desc"]).nullish(),
  select: z.array(shortText).max(20).nullish(),
});
