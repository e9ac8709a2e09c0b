import { getCheckpointMetadata } from "../db/queries/checkpoint-reads.ts";
import type { ThreadHead } from "../db/queries/rows.ts";
import { getThreadHead } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import type { AccessFilter } from "../domain/access.ts";
import { InvalidInput } from "../domain/errors.ts";
import type { AskedRun, RunKwargs } from "../domain/run.ts";
import { announceRun, requestOf } from "../queue/asked.ts";
import { type Accepted, createRun } from "../queue/create.ts";
import { assistantForRun } from "./assistant.ts";
import type { HttpDeps, Principal } from "./deps.ts";
import { ask } from "./guard.ts";
import { checkedMetadata } from "./schemas/common.ts";
import type { RunBody } from "./schemas/run.ts";

const idempotencyKeyCharsMax = 255;

interface Asked {
  body: RunBody & Pick<AskedRun, "stream_protocol">;
  /** Null for a run without a thread of its own. */
  threadId: string | null;
  /** What the caller calls the thread by, if not by its id. */
  threadKey?: string | undefined;
  idempotencyKey: string | undefined;
  principal: Principal;
}

/** Accepts a run. Throws NotFound, InvalidInput, ThreadBusy, Conflict; see `createRun`. */
export async function acceptRun(deps: HttpDeps, asked: Asked): Promise<Accepted> {
  const { threadId, threadKey, principal } = asked;
  checkWebhook(deps, asked.body.webhook);
  const assistant = await assistantForRun(deps, principal, asked.body.assistant_id);
  const { body, access } = await permitted(principal, asked, assistant.assistant_id);
  const thread =
    threadId === null ? undefined : one(await getThreadHead(deps.db, { threadId, tenant: principal.tenant }));
  const idempotencyKey = keyOf(asked.idempotencyKey, principal);
  const configurable = principal.configurable?.() ?? {};
  const request = {
    ...requestOf(
      { body, threadId, threadKey, idempotencyKey, principal, configurable },
      { assistant, thread },
    ),
    access,
    threadTtl: deps.lifetimes?.thread ?? null,
  };
  await checkFork(deps, thread, request.kwargs);
  // A thread that is there already would make it travel in vain.
  const accepted = await (thread === undefined ? deps.creates.create(request) : createRun(deps.db, request));
  announceRun(deps.bus, accepted);
  return accepted;
}

/** What the program's own auth makes of the request: its metadata, and which threads it may be for. */
export async function permitted<T extends AskedRun>(
  principal: Principal,
  { body, threadId }: { body: T; threadId: string | null },
  assistantId: string,
): Promise<{ body: T; access: AccessFilter | null }> {
  if (principal.access === undefined) return { body, access: null };
  const { metadata, multitask_strategy, if_not_exists, after_seconds, ...kwargs } = body;
  const value = {
    thread_id: threadId,
    assistant_id: assistantId,
    status: "pending",
    metadata: metadata ?? {},
    prevent_insert_if_inflight: multitask_strategy === "reject",
    multitask_strategy,
    if_not_exists,
    after_seconds,
    kwargs,
  };
  const access = await ask(principal, "threads:create_run", value);
  return { body: { ...body, metadata: checkedMetadata(value) }, access };
}

/** One that would never be called is refused when it is asked for. */
export function checkWebhook({ config }: HttpDeps, webhook: string | null | undefined): void {
  if (config.webhooksPrivate || !webhook?.startsWith("http:")) return;
  throw new InvalidInput("webhook: only https is called (WEBHOOK_PRIVATE)", { field: "webhook" });
}

/** The keys of two users have nothing to do with each other. */
function keyOf(header: string | undefined, { access }: Principal): string | null {
  if (header === undefined) return null;
  if (header.length > 0 && header.length <= idempotencyKeyCharsMax)
    return access === undefined ? header : JSON.stringify([access.user.identity, header]);
  throw new InvalidInput(`an Idempotency-Key has 1 to ${idempotencyKeyCharsMax} characters`, {
    field: "Idempotency-Key",
  });
}

/** LangGraph would start from nothing at a checkpoint that does not exist. */
async function checkFork(
  { db }: HttpDeps,
  thread: ThreadHead | undefined,
  { checkpoint }: RunKwargs,
): Promise<void> {
  if (checkpoint === undefined || thread === undefined) return;
  const { checkpoint_id: checkpointId, checkpoint_ns: ns = "" } = checkpoint;
  const found = one(await getCheckpointMetadata(db, { threadId: thread.thread_id, ns, checkpointId }));
  if (found !== undefined) return;
  throw new InvalidInput(`checkpoint_id: the thread has no checkpoint ${checkpointId}`, {
    field: "checkpoint_id",
  });
}
