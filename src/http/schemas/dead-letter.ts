import { z } from "zod";
import type { DeadLetterFilter } from "../../db/queries/dead-letters.ts";
import { effectsPolicies } from "../../domain/run.ts";
import { redrivesPerRequestMax } from "../../queue/redrive.ts";
import { redriveStarts } from "../../queue/redrive-plan.ts";
import { limit, offset, shortText, uuid } from "./common.ts";

const listSizeDefault = 50;
const reasonCharsMax = 1_000;
const redrivesDefault = 100;
const ratePerSecondMin = 0.001;
const ratePerSecondMax = 1_000;

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const narrowing = {
  graph_id: shortText.optional(),
  code: shortText.optional(),
  fingerprint: shortText.optional(),
  since: time.optional(),
  until: time.optional(),
};
type Narrowing = { [K in "graph_id" | "code" | "fingerprint"]?: string | undefined } & {
  since?: Date | undefined;
  until?: Date | undefined;
};

export const deadLettersQuery = z.object({ ...narrowing, limit: limit.default(listSizeDefault), offset });

const starts = {
  from: z.enum(redriveStarts).default("checkpoint"),
  effects: z
    .enum(effectsPolicies)
    .nullish()
    .transform((policy) => policy ?? null),
  dry_run: z.boolean().default(false),
};
const edited = z
  .unknown()
  .refine((input) => input !== null, "null is no input: leave it out to send the old one");

/** One dead letter. `input` in place of the one that was sent. */
export const redriveBody = z.object({ ...starts, input: edited.optional() });

/** Which ones: a group, a list of ids, or a filter. Never all of them by accident. */
const which = {
  group: shortText.optional(),
  run_ids: z.array(uuid).min(1).max(redrivesPerRequestMax).optional(),
  filter: z.strictObject(narrowing).optional(),
  limit: z.number().int().min(1).max(redrivesPerRequestMax).default(redrivesDefault),
};
const oneOfThem = (body: { group?: unknown; run_ids?: unknown; filter?: object | undefined }): boolean =>
  (body.run_ids !== undefined) !== (body.group !== undefined || Object.keys(body.filter ?? {}).length > 0);
const oneOfThemError = {
  message: "say which: run_ids alone, or a group, or a filter with at least one field",
};

export const redriveManyBody = z
  .strictObject({
    ...which,
    ...starts,
    rate_per_second: z.number().min(ratePerSecondMin).max(ratePerSecondMax).nullish(),
  })
  .refine(oneOfThem, oneOfThemError);

export const reasonText = z.string().trim().min(1).max(reasonCharsMax);
export const discardBody = z.object({ reason: reasonText });
export const discardManyBody = z
  .strictObject({ ...which, reason: reasonText, dry_run: z.boolean().default(false) })
  .refine(oneOfThem, oneOfThemError);

/** The filter of a query or body. */
export function filterOf(
  { tenant, access }: Pick<DeadLetterFilter, "tenant" | "access">,
  {
    narrow = {},
    group,
    runIds,
    all = false,
  }: {
    narrow?: Narrowing | undefined;
    group?: string | undefined;
    runIds?: string[] | undefined;
    all?: boolean;
  },
): DeadLetterFilter {
  return {
    tenant,
    access,
    all,
    graphId: narrow.graph_id ?? null,
    code: narrow.code ?? null,
    fingerprint: group ?? narrow.fingerprint ?? null,
    since: narrow.since ?? null,
    until: narrow.until ?? null,
    runIds: runIds ?? null,
  };
}
