import { getCheckpoint } from "../db/queries/checkpoint-reads.ts";
import type { AssistantRow, ThreadRow } from "../db/queries/rows.ts";
import { getThread } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import { InvalidInput } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { retryPolicy } from "../domain/retry.ts";
import type { EffectsPolicy, RunConfig, RunKwargs } from "../domain/run.ts";
import { type Accepted, createRun } from "../queue/create.ts";
import type { CreateRun } from "../queue/request.ts";
import { assistantForRun } from "./assistant.ts";
import type { HttpDeps, Principal } from "./deps.ts";
import { effectsPolicyKey, type RunBody } from "./schemas/run.ts";

const idempotencyKeyCharsMax = 255;

interface Asked {
  body: RunBody;
  /** Null for a run without a thread of its own. */
  threadId: string | null;
  idempotencyKey: string | undefined;
  principal: Principal;
}

/** Accepts a run. Throws NotFound, InvalidInput, ThreadBusy, Conflict; see `createRun`. */
export async function acceptRun(deps: HttpDeps, asked: Asked): Promise<Accepted> {
  const { body, threadId, principal } = asked;
  const assistant = await assistantForRun(deps, { id: body.assistant_id, tenant: principal.tenant });
  const thread =
    threadId === null ? undefined : one(await getThread(deps.db, { threadId, tenant: principal.tenant }));
  const kwargs = kwargsOf(body, { assistant, thread });
  await checkFork(deps, thread, kwargs);
  const accepted = await createRun(deps.db, requestOf(asked, { assistant, thread, kwargs }));
  announce(deps, accepted, body);
  return accepted;
}

/** Those who wait are told at once; when this gets lost, polling finds the run. */
function announce({ bus }: HttpDeps, { run, replayed }: Accepted, body: RunBody): void {
  if (replayed) return;
  bus.publish("queue", run.thread_id);
  if (body.multitask_strategy !== "interrupt" && body.multitask_strategy !== "rollback") return;
  bus.publish("cancel", "*");
  bus.publish("run", "*");
}

interface Merged {
  assistant: AssistantRow;
  thread: ThreadRow | undefined;
  kwargs: RunKwargs;
}

function requestOf(asked: Asked, { assistant, thread, kwargs }: Merged): CreateRun {
  const { body, threadId, principal } = asked;
  const { graph_id: graphId, assistant_id: assistantId } = assistant;
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
    threadConfig: { configurable: callersConfigurable(body, thread) },
    multitaskStrategy: body.multitask_strategy ?? "enqueue",
    afterSeconds: body.after_seconds ?? 0,
    temporary: threadId === null && body.on_completion !== "keep",
    createThread: threadId === null || body.if_not_exists === "create",
    attemptsMax: retryPolicy.attemptsMax,
    redriveOf: null,
    idempotencyKey: keyOf(asked.idempotencyKey),
    sent: { threadId, body },
    principal: principal.name,
    effectsPolicy: (body.config?.configurable?.[effectsPolicyKey] ?? null) as EffectsPolicy | null,
  };
}

function keyOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (header.length > 0 && header.length <= idempotencyKeyCharsMax) return header;
  throw new InvalidInput(`an Idempotency-Key has 1 to ${idempotencyKeyCharsMax} characters`, {
    field: "Idempotency-Key",
  });
}

/** The body as stored: what is absent stays absent, so that a null means nothing. */
function kwargsOf(body: RunBody, { assistant, thread }: Omit<Merged, "kwargs">): RunKwargs {
  const modes = typeof body.stream_mode === "string" ? [body.stream_mode] : (body.stream_mode ?? []);
  const checkpointId = body.checkpoint?.checkpoint_id ?? body.checkpoint_id;
  const optional = {
    command: body.command ?? undefined,
    context: { ...assistant.context, ...body.context },
    stream_subgraphs: body.stream_subgraphs ?? undefined,
    interrupt_before: body.interrupt_before ?? undefined,
    interrupt_after: body.interrupt_after ?? undefined,
    webhook: body.webhook ?? undefined,
    feedback_keys: body.feedback_keys ?? undefined,
  };
  const kwargs: RunKwargs = {
    input: body.input ?? null,
    config: mergedConfig(body, { assistant, thread }),
    stream_mode: modes.length === 0 ? ["values"] : modes,
    ...(present(optional) as Partial<RunKwargs>),
  };
  if (checkpointId === undefined || checkpointId === null) return kwargs;
  const { checkpoint_ns, checkpoint_map } = body.checkpoint ?? {};
  const map = checkpoint_map === undefined || checkpoint_map === null ? {} : { checkpoint_map };
  return {
    ...kwargs,
    checkpoint: { checkpoint_id: checkpointId, checkpoint_ns: checkpoint_ns ?? "", ...map },
  };
}

const present = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** assistant ← thread ← run; what is configurable is merged key by key. */
function mergedConfig(body: RunBody, { assistant, thread }: Omit<Merged, "kwargs">): RunConfig {
  const own = present({
    tags: body.config?.tags ?? undefined,
    recursion_limit: body.config?.recursion_limit ?? undefined,
  }) as RunConfig;
  const base = assistant.config as RunConfig;
  return { ...base, ...own, configurable: { ...base.configurable, ...callersConfigurable(body, thread) } };
}

/**
 * What callers said, in this run and in earlier ones of the thread. The assistant's part is not kept on the thread, or an
 * older version of it would speak for later runs.
 */
function callersConfigurable(body: RunBody, thread: ThreadRow | undefined): Record<string, unknown> {
  const ofThread = (thread?.config ?? {}) as RunConfig;
  const merged = { ...ofThread.configurable, ...body.config?.configurable };
  // It is about this run alone: kept on the thread, it would speak for every later one.
  const { [effectsPolicyKey]: _policy, ...configurable } = merged;
  return configurable;
}

/** LangGraph would start from nothing at a checkpoint that does not exist. */
async function checkFork(
  { db }: HttpDeps,
  thread: ThreadRow | undefined,
  { checkpoint }: RunKwargs,
): Promise<void> {
  if (checkpoint === undefined || thread === undefined) return;
  const { checkpoint_id: checkpointId, checkpoint_ns: ns = "" } = checkpoint;
  const found = one(await getCheckpoint(db, { threadId: thread.thread_id, ns, checkpointId }));
  if (found !== undefined) return;
  throw new InvalidInput(`checkpoint_id: the thread has no checkpoint ${checkpointId}`, {
    field: "checkpoint_id",
  });
}
