import { z } from "zod";
import { limit, metadata, offset, openRecord, pageSizeDefault, shortText, uuid } from "./common.ts";
import { assistantConfig } from "./run.ts";

const descriptionCharsMax = 4_096;
const versionMax = 2_147_483_647;
const selectMax = 20;
const xrayLevelsMax = 32;

const description = z
  .string()
  .max(descriptionCharsMax)
  .refine((text) => !text.includes("\u0000"), "the character \\u0000 is not allowed");

/** `PATCH /assistants/:id`. What is left out, or null, stays as it is. */
export const patchAssistantBody = z.object({
  graph_id: shortText.nullish(),
  config: assistantConfig.nullish(),
  context: openRecord.nullish(),
  metadata: metadata.nullish(),
  name: shortText.nullish(),
  description: description.nullish(),
});

export const createAssistantBody = patchAssistantBody.extend({
  assistant_id: uuid.nullish(),
  graph_id: shortText,
  if_exists: z.enum(["raise", "do_nothing"]).nullish(),
});

export const latestBody = z.object({ version: z.number().int().min(1).max(versionMax) });

export const versionsBody = z.object({
  limit: limit.default(pageSizeDefault),
  offset,
  metadata: metadata.nullish(),
});

export const countAssistantsBody = z.object({
  graph_id: shortText.nullish(),
  name: shortText.nullish(),
  metadata: metadata.nullish(),
});

export const searchAssistantsBody = countAssistantsBody.extend({
  limit: limit.default(pageSizeDefault),
  offset,
  sort_by: z.enum(["assistant_id", "graph_id", "name", "created_at", "updated_at"]).nullish(),
  sort_order: z.enum(["asc", "desc"]).nullish(),
  select: z.array(shortText).max(selectMax).nullish(),
});

/** How many levels of subgraphs are drawn: a number, or all of them. */
const levels = z.string().regex(/^\d+$/).transform(Number).pipe(z.number().max(xrayLevelsMax));
export const drawingQuery = z.object({
  xray: z.union([levels, z.enum(["true", "yes", "false", "no", ""])]).optional(),
});
