import { z } from "zod";
import { cancelActions, effectsPolicies, effectsPolicyKey, multitaskStrategies } from "../../domain/run.ts";
import {
  limit,
  metadata,
  nameCharsMax,
  offset,
  openRecord,
  pageSizeDefault,
  threadName,
  uuid,
} from "./common.ts";

export const recursionLimitMax = 10_000;
export const afterSecondsMax = 365 * 24 * 3600;
const listMax = 100;
const batchMax = 100;

const streamModes = [
  "values",
  "messages",
  "messages-tuple",
  "updates",
  "events",
  "tasks",
  "checkpoints",
  "debug",
  "custom",
  "tools",
] as const;
const streamMode = z.enum(streamModes);
const names = z.array(z.string().max(nameCharsMax)).max(listMax);
const traceName = z.string().max(nameCharsMax).nullish();
const breakpoints = z.union([z.literal("*"), names]);

const checkpointText = z.string().max(4 * nameCharsMax);
export const checkpointRef = z.object({
  checkpoint_id: checkpointText.nullish(),
  checkpoint_ns: checkpointText.nullish(),
  checkpoint_map: z.record(z.string(), z.string()).nullish(),
});

/** Keys of this form are LangGraph's and ours: a caller who sets them takes over the runtime. */
const ownKey = /^__/;
const keptConfigurable = openRecord.superRefine((value, ctx) => {
  for (const key of Object.keys(value).filter((name) => ownKey.test(name))) {
    ctx.addIssue({ code: "custom", path: [key], message: "keys that start with __ are reserved" });
  }
});
const configurable = keptConfigurable.superRefine((value, ctx) => {
  for (const issue of checkpointRef.safeParse(value).error?.issues ?? [])
    ctx.addIssue({ code: "custom", path: issue.path, message: issue.message });
  const policy = value[effectsPolicyKey];
  if (policy === undefined || effectsPolicies.some((known) => known === policy)) return;
  ctx.addIssue({ code: "custom", path: [effectsPolicyKey], message: `one of ${effectsPolicies.join(", ")}` });
});

const config = z.object({
  tags: names.nullish(),
  recursion_limit: z.number().int().min(1).max(recursionLimitMax).nullish(),
  configurable: configurable.nullish(),
});
/** Config that speaks for every run of an assistant. */
export const assistantConfig = config.extend({
  configurable: keptConfigurable
    .refine((value) => !(effectsPolicyKey in value), `${effectsPolicyKey} is about one run: send it there`)
    .nullish(),
});

const send = z.object({ node: z.string().max(nameCharsMax) }).loose();
const command = z.object({
  resume: z.unknown().optional(),
  update: z.union([openRecord, z.array(z.tuple([z.string(), z.unknown()])).max(listMax)]).nullish(),
  goto: z
    .union([
      z.string().max(nameCharsMax),
      send,
      z.array(z.union([z.string().max(nameCharsMax), send])).max(listMax),
    ])
    .nullish(),
});

/** A command that a state update carries: it goes on somewhere, and answers nothing. */
export const stateCommand = command.extend({
  resume: z.null("a state update answers no question: leave it out").optional(),
});

const urlCharsMax = 2_048;
/** Where the end of the run is told. A password in it would stand in every answer that shows the run. */
const webhookUrl = z
  .url({ protocol: /^https?$/, message: "expected an http or https URL" })
  .max(urlCharsMax)
  .refine((text) => !/^https?:\/\/[^/]*@/.test(text), "a URL with a user or password is not taken")
  .transform((text) => new URL(text).href);
/** Of the app itself: its own routes, or ours. */
const ownPath = z
  .string()
  .max(urlCharsMax)
  .regex(/^\/(?![/\\])[\u0021-\u007e]*$/, "a path of this server begins with one slash");
const webhook = z.string().transform((text, ctx): string => {
  const parsed = (text.startsWith("/") ? ownPath : webhookUrl).safeParse(text);
  if (parsed.success) return parsed.data;
  for (const { message } of parsed.error.issues) ctx.addIssue(message);
  return z.NEVER;
});

/** `POST …/runs`. Fields we do not know are left out, as the Agent Server does; weaker durability gets ours. */
export const runBody = z
  .object({
    assistant_id: z.string().min(1).max(nameCharsMax),
    input: z.unknown().optional(),
    command: command.nullish(),
    config: config.nullish(),
    context: openRecord.nullish(),
    metadata: metadata.nullish(),
    checkpoint_id: checkpointText.nullish(),
    checkpoint: checkpointRef.nullish(),
    webhook: webhook.nullish(),
    interrupt_before: breakpoints.nullish(),
    interrupt_after: breakpoints.nullish(),
    stream_mode: z.union([streamMode, z.array(streamMode).max(streamModes.length)]).nullish(),
    stream_subgraphs: z.boolean().nullish(),
    stream_resumable: z.boolean().nullish(),
    on_disconnect: z.enum(["continue", "cancel"]).nullish(),
    on_completion: z.enum(["delete", "keep"]).nullish(),
    multitask_strategy: z.enum(multitaskStrategies).nullish(),
    after_seconds: z.number().min(0).max(afterSecondsMax).nullish(),
    if_not_exists: z.enum(["reject", "create"]).nullish(),
    feedback_keys: names.nullish(),
    langsmith_tracer: z.object({ project_name: traceName, example_id: traceName }).nullish(),
    durability: z.enum(["sync", "async", "exit"]).nullish(),
  })
  .meta({ id: "RunCreate" });
export const batchBody = z.array(runBody).max(batchMax);
export type RunBody = z.infer<typeof runBody>;

export const cancelQuery = z.object({ action: z.enum(cancelActions).default("interrupt") });

export const wireRunStatuses = ["pending", "running", "success", "error", "timeout", "interrupted"] as const;

export const listRunsQuery = z.object({
  limit: limit.default(pageSizeDefault),
  offset,
  status: z.enum(wireRunStatuses).optional(),
});

export const cancelManyBody = z
  .object({
    thread_id: threadName.nullish(),
    run_ids: z.array(uuid).max(listMax).nullish(),
    status: z.enum(["pending", "running", "all"]).nullish(),
  })
  .refine(({ thread_id, run_ids, status }) => (run_ids ? Boolean(thread_id) : Boolean(status)), {
    message: "send thread_id with run_ids, or a status",
  });
