import type { Bus } from "../db/listen.ts";
import type { AssistantRow, ThreadHead } from "../db/queries/rows.ts";
import { withoutCaller } from "../domain/caller.ts";
import { InvalidInput } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { retryPolicy } from "../domain/retry.ts";
import {
  type AskedRun,
  type EffectsPolicy,
  effectsPolicyKey,
  type RunConfig,
  type RunKwargs,
  withoutStart,
} from "../domain/run.ts";
import type { Accepted } from "./create.ts";
import type { CreateRun } from "./request.ts";

/** Of an assistant, a thread and a run together: threads keep what callers say, so that it would grow without end. */
export const configurableBytesMax = 512 * 1024;

interface Asked {
  body: AskedRun;
  /** Null for a run without a thread of its own. */
  threadId: string | null;
  threadKey?: string | undefined;
  idempotencyKey: string | null;
  principal: { name: string; tenant: string };
  /** What the request itself makes configurable. */
  configurable?: Record<string, unknown>;
}

interface Found {
  assistant: AssistantRow;
  thread: ThreadHead | undefined;
}

/** What somebody asked for, over HTTP or by a cron, with the settings of its assistant and its thread. Throws InvalidInput. */
export function requestOf(asked: Asked, found: Found): CreateRun {
  const { body, threadId, threadKey, idempotencyKey, principal, configurable = {} } = asked;
  const { assistant, thread } = found;
  const { graph_id: graphId, assistant_id: assistantId } = assistant;
  const kwargs = kwargsOf(body, found, configurable);
  return {
    tenant: principal.tenant,
    threadId: threadId ?? newId(),
    assistantId,
    graphId,
    kwargs,
    metadata: {
      ...assistant.metadata,
      ...thread?.metadata,
      ...body.metadata,
      graph_id: graphId,
      assistant_id: assistantId,
    },
    threadConfig: { configurable: withoutCaller(callersConfigurable(body, thread)) },
    multitaskStrategy: body.multitask_strategy ?? "enqueue",
    afterSeconds: body.after_seconds ?? 0,
    temporary: threadId === null && body.on_completion !== "keep",
    createThread: threadId === null || body.if_not_exists === "create",
    threadMetadata: body.metadata ?? {},
    threadKey,
    attemptsMax: retryPolicy.attemptsMax,
    redriveOf: null,
    idempotencyKey,
    sent: { threadId, body },
    principal: principal.name,
    effectsPolicy: (body.config?.configurable?.[effectsPolicyKey] ?? null) as EffectsPolicy | null,
  };
}

/** Those who wait are told at once; when this gets lost, polling finds the run. */
export function announceRun(bus: Bus, { run, replayed }: Accepted): void {
  if (replayed) return;
  bus.publish("queue", run.thread_id);
  if (run.multitask_strategy !== "interrupt" && run.multitask_strategy !== "rollback") return;
  bus.publish("cancel", "*");
  bus.publish("run", "*");
}

/** The body as stored: what is absent stays absent, so that a null means nothing. */
function kwargsOf(
  body: AskedRun,
  { assistant, thread }: Found,
  configurable: Record<string, unknown>,
): RunKwargs {
  const modes = typeof body.stream_mode === "string" ? [body.stream_mode] : (body.stream_mode ?? []);
  const at = startOf(body);
  const checkpointId = at.checkpoint_id;
  const optional = {
    command: body.command ?? undefined,
    context: { ...assistant.context, ...body.context },
    stream_subgraphs: body.stream_subgraphs ?? undefined,
    stream_protocol: body.stream_protocol,
    interrupt_before: body.interrupt_before ?? undefined,
    interrupt_after: body.interrupt_after ?? undefined,
    webhook: body.webhook ?? undefined,
    feedback_keys: body.feedback_keys ?? undefined,
  };
  const kwargs: RunKwargs = {
    input: body.input ?? null,
    config: mergedConfig(body, { assistant, thread }, configurable),
    stream_mode: modes.length === 0 ? ["values"] : modes,
    ...(present(optional) as Partial<RunKwargs>),
  };
  if (checkpointId === undefined || checkpointId === null) return kwargs;
  const { checkpoint_ns, checkpoint_map } = at;
  const map = checkpoint_map === undefined || checkpoint_map === null ? {} : { checkpoint_map };
  return {
    ...kwargs,
    checkpoint: { checkpoint_id: checkpointId, checkpoint_ns: checkpoint_ns ?? "", ...map },
  };
}

/** Where it is to start. The SDK's `config` may say so as well, as LangGraph's own does. */
function startOf(body: AskedRun): NonNullable<AskedRun["checkpoint"]> {
  if (body.checkpoint?.checkpoint_id) return body.checkpoint;
  if (body.checkpoint_id) return { checkpoint_id: body.checkpoint_id };
  return (body.config?.configurable ?? {}) as NonNullable<AskedRun["checkpoint"]>;
}

const present = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** assistant ← thread ← run ← its request; what is configurable is merged key by key. */
function mergedConfig(
  body: AskedRun,
  { assistant, thread }: Found,
  added: Record<string, unknown>,
): RunConfig {
  const own = present({
    tags: body.config?.tags ?? undefined,
    recursion_limit: body.config?.recursion_limit ?? undefined,
  }) as RunConfig;
  const base = assistant.config as RunConfig;
  const configurable = {
    ...withoutCaller(base.configurable ?? {}),
    ...callersConfigurable(body, thread),
    ...present({
      langsmith_project: body.langsmith_tracer?.project_name ?? undefined,
      langsmith_example_id: body.langsmith_tracer?.example_id ?? undefined,
    }),
    ...added,
  };
  if (Buffer.byteLength(JSON.stringify(configurable)) > configurableBytesMax)
    throw new InvalidInput(
      `config.configurable: with what its assistant and its thread say, it may have ${configurableBytesMax} bytes at most`,
      { field: "config.configurable" },
    );
  return { ...base, ...own, configurable };
}

/**
 * What callers said, in this run and in earlier ones of the thread. The assistant's part is not kept on the thread, or an
 * older version of it would speak for later runs.
 */
function callersConfigurable(body: AskedRun, thread: ThreadHead | undefined): Record<string, unknown> {
  const ofThread = (thread?.config ?? {}) as RunConfig;
  const merged = { ...withoutCaller(ofThread.configurable ?? {}), ...body.config?.configurable };
  // It is about this run alone: kept on the thread, it would speak for every later one.
  const { [effectsPolicyKey]: _policy, ...configurable } = merged;
  return withoutStart(configurable);
}
