// What the Agent Server's routes answer with. present.ts makes these from rows; the fuzzer holds it to them.
import { z } from "zod";
import { ttlStrategies } from "../../domain/lifetimes.ts";
import { effectsPolicies, multitaskStrategies } from "../../domain/run.ts";
import { missedPolicies } from "../../domain/schedule.ts";
import { wireRunStatuses } from "../schemas/run.ts";

export const id = z.guid();
export const time = z.iso.datetime();
export const json = z.unknown();
export const record = z.record(z.string(), json);
const count = z.number().int().min(0);

export const countAnswer = count;

export const assistantVersion = z
  .object({
    assistant_id: id,
    graph_id: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    version: z.number().int().min(1),
    config: record,
    context: record,
    metadata: record,
    created_at: time,
  })
  .meta({ id: "AssistantVersion" });

export const assistant = assistantVersion.extend({ updated_at: time }).meta({ id: "Assistant" });

/** With `select` only the fields asked for. */
export const foundAssistant = assistant.partial().required({ assistant_id: true });

const node = z.looseObject({ id: z.union([z.string(), z.number()]) });
const edge = z.looseObject({ source: z.string(), target: z.string() });
export const drawing = z.object({ nodes: z.array(node), edges: z.array(edge) });

const jsonSchema = json.describe("a JSON schema; null where the graph does not say");
export const graphSchemas = z.object({
  graph_id: z.string(),
  input_schema: jsonSchema,
  output_schema: jsonSchema,
  state_schema: jsonSchema,
  config_schema: jsonSchema,
  context_schema: jsonSchema,
});
export const subgraphs = z.record(
  z.string(),
  z.object({ state: jsonSchema, input: jsonSchema, output: jsonSchema, config: jsonSchema }),
);

const interrupt = z.object({ id: z.string(), value: json }).meta({ id: "Interrupt" });

export const thread = z
  .object({
    thread_id: id,
    created_at: time,
    updated_at: time,
    state_updated_at: time,
    metadata: record,
    status: z.enum(["idle", "busy", "interrupted", "error"]),
    config: record,
    values: json.describe("of the latest checkpoint; null before the first"),
    interrupts: z.record(z.string(), z.array(interrupt)).describe("open questions, by task"),
    error: z.string().optional(),
    key: z.string().optional().describe("the caller's own name for it"),
  })
  .meta({ id: "Thread" });

const ttl = z.object({ strategy: z.enum(ttlStrategies), ttl_minutes: z.number(), expires_at: time });
export const threadWithTtl = thread.extend({ ttl: ttl.nullable().optional() });

export const foundThread = thread
  .partial()
  .required({ thread_id: true })
  .extend({ extracted: record.optional() });

const checkpointName = z
  .object({
    thread_id: id,
    checkpoint_id: z.string().nullable(),
    checkpoint_ns: z.string(),
    checkpoint_map: z.record(z.string(), z.string()).nullable(),
  })
  .meta({ id: "Checkpoint" });
export const updatedState = z.object({ checkpoint: checkpointName });

const childCheckpoint = z.object({ thread_id: id, checkpoint_ns: z.string() });
const task = z
  .object({
    id: z.string(),
    name: z.string(),
    error: json,
    interrupts: z.array(interrupt),
    path: json,
    checkpoint: childCheckpoint.nullable(),
    get state() {
      return threadState.nullable();
    },
    result: json,
  })
  .meta({ id: "Task" });
export const threadState = z
  .object({
    values: json,
    next: z.array(z.string()),
    tasks: z.array(task),
    metadata: json,
    created_at: z.string().nullable(),
    checkpoint: checkpointName.nullable(),
    parent_checkpoint: checkpointName.nullable(),
    interrupts: z.array(interrupt),
  })
  .meta({ id: "ThreadState" });

export const run = z
  .object({
    run_id: id,
    thread_id: id,
    assistant_id: id,
    metadata: record,
    status: z.enum(wireRunStatuses),
    kwargs: record.describe("what the run was asked to do, merged with its assistant and its thread"),
    multitask_strategy: z.enum(multitaskStrategies),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: "Run" });

export const values = json.describe(
  "the values of the state, with `__interrupt__` where the run stopped at questions; `__error__` of a run that failed",
);

export const cron = z
  .object({
    cron_id: id,
    assistant_id: id,
    thread_id: id.nullable(),
    user_id: z.string(),
    schedule: z.string(),
    timezone: z.string().nullable(),
    end_time: time.nullable(),
    enabled: z.boolean(),
    missed: z.enum(missedPolicies),
    on_run_completed: z.enum(["delete", "keep"]),
    payload: record,
    metadata: record,
    next_run_date: time.nullable(),
    last_run_id: id.nullable(),
    last_error: z.string().nullable(),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: "Cron" });
export const foundCron = cron.partial().required({ cron_id: true });

export const item = z
  .object({
    namespace: z.array(z.string()),
    key: z.string(),
    value: record,
    created_at: time,
    updated_at: time,
  })
  .meta({ id: "Item" });
const foundItem = item.extend({ score: z.number().optional().describe("of a search by meaning") });
export const foundItems = z.object({ items: z.array(foundItem) });
export const namespaces = z.object({ namespaces: z.array(z.array(z.string())) });

/** A body or a query that does not validate, and an id that is none, on the Agent Server's routes. */
export const invalidRequest = z
  .object({
    success: z.literal(false),
    error: z.object({
      name: z.literal("ZodError"),
      issues: z.array(
        z.object({
          path: z.array(z.union([z.string(), z.number()])),
          message: z.string(),
          code: z.string(),
          validation: z.string().optional(),
        }),
      ),
    }),
  })
  .meta({ id: "InvalidRequest" });

/** RFC 9457, on our own routes. */
export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    field: z.string().optional().describe("the field that is wrong"),
    effects: z
      .array(json)
      .optional()
      .describe(`effects that lie behind: say what to do about them, ${effectsPolicies.join(", ")}`),
    winner: record.optional().describe("who was first"),
  })
  .meta({ id: "Problem" });
