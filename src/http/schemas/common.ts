import { z } from "zod";
import { threadKeyForm, threadKeyHint } from "../../domain/thread-key.ts";
import { parseInput } from "../body.ts";
import type { RequestContext } from "../deps.ts";
import { Refused } from "../errors.ts";

export const pageSizeMax = 1_000;
export const pageSizeDefault = 10;
/** Of a page with more than the default's size. */
export const pageBytesMax = 16 * 1024 * 1024;
const offsetMax = 1_000_000_000;
export const metadataBytesMax = 16 * 1024;
export const nameCharsMax = 256;

/** Any UUID, in the form that Postgres prints it in: checkpoint tables hold it as text. */
export const uuid = z.guid("Invalid uuid").transform((id) => id.toLowerCase());

/** What a thread is called by: its id, or `key:` and its caller's own key. */
export const threadName = z.union([uuid, z.string().regex(threadKeyForm)], {
  error: `Invalid uuid, or key:… (${threadKeyHint})`,
});

const record = z.record(z.string(), z.unknown());
export const metadata = record
  .refine(
    (value) => Buffer.byteLength(JSON.stringify(value)) <= metadataBytesMax,
    `metadata may have ${metadataBytesMax} bytes at most`,
  )
  .describe(`${metadataBytesMax} bytes at most, as JSON`);
/** What an auth handler made of the metadata of a request. Throws Refused 422 as for those that came in. */
export const checkedMetadata = (value: { metadata?: unknown }): Record<string, unknown> =>
  parseInput(z.object({ metadata }), { metadata: value.metadata ?? {} }).metadata;
export const openRecord = record;
export const limit = z.coerce.number().int().min(1).max(pageSizeMax);
export const offset = z.coerce.number().int().min(0).max(offsetMax).default(0);
export const shortText = z
  .string()
  .max(nameCharsMax)
  .refine((text) => !text.includes("\u0000"), "the character \\u0000 is not allowed");

/** An id of the path. The Agent Server answers 400 in this form. */
export function pathId(c: RequestContext, name: string): string {
  const keyed = name === "thread_id" ? c.get("keyed") : undefined;
  if (keyed !== undefined) return keyed.threadId;
  const parsed = uuid.safeParse(c.req.param(name));
  if (parsed.success) return parsed.data;
  const issue = { validation: "uuid", code: "invalid_string", message: "Invalid uuid", path: [name] };
  throw new Refused(400, `${name}: Invalid uuid`, { issues: [issue] });
}

export function readQuery<T>(c: RequestContext, schema: z.ZodType<T>): T {
  return parseInput(schema, c.req.query());
}

const yes = ["1", "true", "yes"];
/** A flag of the query. `wait=0` means no, which coercing a text to a boolean gets wrong. */
export const flag = (c: RequestContext, name: string): boolean =>
  yes.includes((c.req.query(name) ?? "").toLowerCase());
