import { z } from "zod";
import { keyBytesMax, namespaceLabelsMax, ttlMinutesMax } from "../../domain/store-item.ts";
import { limit, offset, openRecord, pageSizeDefault } from "./common.ts";

const namespacesPerPageDefault = 100;
// Texts of the wire say what is wrong with labels: domain/store-item.ts. Here a body is kept from being absurd.
const labels = z.array(z.string()).max(namespaceLabelsMax * 4);
const key = z.string().max(keyBytesMax, `may have ${keyBytesMax} bytes at most`);

export const putItemBody = z.object({
  namespace: labels,
  key,
  value: openRecord,
  // Which fields a search by meaning would find the item by.
  index: z.union([z.literal(false), z.array(z.string()).max(namespaceLabelsMax)]).nullish(),
  ttl: z.number().positive().max(ttlMinutesMax).nullish(),
});

export const placeOfItems = z.object({ namespace: labels });
export const deleteItemBody = z.object({ namespace: labels.default([]), key });

export const getItemQuery = z.object({
  namespace: z
    .string()
    .default("")
    .transform((text) => (text === "" ? [] : text.split("."))),
  key,
  refresh_ttl: z.stringbool().optional(),
});

export const searchItemsBody = z.object({
  namespace_prefix: labels.default([]),
  filter: openRecord.nullish(),
  limit: limit.nullish().transform((size) => size ?? pageSizeDefault),
  offset: offset.nullish().transform((skipped) => skipped ?? 0),
  query: z.string().nullish(),
  refresh_ttl: z.boolean().nullish(),
});

export const listNamespacesBody = z.object({
  prefix: labels.nullish(),
  suffix: labels.nullish(),
  max_depth: z.number().int().min(1).nullish(),
  limit: limit.nullish().transform((size) => size ?? namespacesPerPageDefault),
  offset: offset.nullish().transform((skipped) => skipped ?? 0),
});
