import { Hono } from "hono";
import { z } from "zod";
import type { ThreadHead } from "../../db/queries/rows.ts";
import * as threads from "../../db/queries/threads.ts";
import { one } from "../../db/query.ts";
import { passes } from "../../domain/access.ts";
import { Conflict, NotFound } from "../../domain/errors.ts";
import { newId } from "../../domain/ids.ts";
import { keyOf } from "../../domain/thread-key.ts";
import { copyThread } from "../../engine/copy-thread.ts";
import { createThread } from "../../engine/state-update.ts";
import { deleteThread } from "../../queue/cancel.ts";
import { pruneThreads } from "../../queue/prune-threads.ts";
import { parseInput, readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { Refused } from "../errors.ts";
import { extracted } from "../extract.ts";
import { ask, guardThread } from "../guard.ts";
import { answerOf, pageOf, selected } from "../page.ts";
import { presentThread, presentTtl } from "../present.ts";
import type { ThreadAction } from "../program-auth.ts";
import { inSlot } from "../rate-limit.ts";
import { checkedMetadata, pathId } from "../schemas/common.ts";
import {
  copyThreadBody,
  countThreadsBody,
  createThreadBody,
  patchStateBody,
  patchThreadBody,
  pruneThreadsBody,
  searchThreadsBody,
} from "../schemas/thread.ts";
import { placeOf, streamThread, threadStreamModes } from "../thread-sse.ts";

export function threadRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/threads", (c) => create(deps, c));
  routes.post("/threads/search", (c) => search(deps, c));
  routes.post("/threads/count", (c) => count(deps, c));
  routes.post("/threads/prune", (c) => prune(deps, c));
  routes.get("/threads/:thread_id", (c) => get(deps, c));
  routes.post("/threads/:thread_id/copy", (c) => copy(deps, c));
  routes.get("/threads/:thread_id/stream", (c) => follow(deps, c));
  routes.patch("/threads/:thread_id", async (c) => {
    return patch(deps, c, await readInput(c, patchThreadBody, deps.config.bodyBytesMax));
  });
  // For the SDK the metadata of a thread's state is the thread's.
  routes.patch("/threads/:thread_id/state", async (c) => {
    return patch(deps, c, await readInput(c, patchStateBody, deps.config.bodyBytesMax));
  });
  routes.delete("/threads/:thread_id", async (c) => {
    const { thread_id: threadId, tenant } = await threadOf(deps, c, { action: "delete" });
    await deleteThread(deps, { threadId, tenant });
    return c.body(null, 204);
  });
  return routes;
}

/** The thread of the path, as far as the caller may do that with it (to read it, unless said). Throws NotFound. */
export function threadOf(
  deps: HttpDeps,
  c: RequestContext,
  wanted: { action?: ThreadAction; value?: object } = {},
): Promise<ThreadHead> {
  return guardThread(deps, c.get("principal"), { threadId: pathId(c, "thread_id"), ...wanted });
}

async function get(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { thread_id: threadId, tenant } = await threadOf(deps, c);
  const thread = one(await threads.getThread(deps.db, { threadId, tenant }));
  if (thread === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  const included = c.req.queries("include")?.flatMap((list) => list.split(",")) ?? [];
  const ttl = included.includes("ttl") ? { ttl: presentTtl(thread) } : {};
  return c.json({ ...presentThread(thread), ...ttl });
}

async function create(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, createThreadBody, deps.config.bodyBytesMax);
  const tenant = tenantOf(c);
  const key = keyOf(body.thread_id ?? "") ?? undefined;
  const threadId =
    key === undefined ? (body.thread_id ?? newId()) : await deps.threadKeys.idOf({ tenant, key });
  const value = { thread_id: threadId, metadata: body.metadata ?? {}, if_exists: body.if_exists ?? "raise" };
  const access = await ask(c.get("principal"), "threads:create", value);
  const metadata = checkedMetadata(value);
  const supersteps = body.supersteps ?? [];
  if (supersteps.length > 0 && typeof metadata.graph_id !== "string") {
    throw new Refused(400, `Thread with ID ${threadId} has no graph ID: supersteps need metadata.graph_id`);
  }
  const made = await createThread(deps, {
    threadId,
    tenant,
    metadata,
    ttl: body.ttl === undefined ? (deps.lifetimes?.thread ?? null) : body.ttl,
    key,
    supersteps,
  });
  if (made !== undefined) return c.json(presentThread(made));
  const there = one(await threads.getThread(deps.db, { threadId, tenant }));
  if (there === undefined || body.if_exists !== "do_nothing" || !passes(there.metadata, access))
    throw new Conflict("Thread already exists");
  return c.json(presentThread(there));
}

async function copy(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const threadId = pathId(c, "thread_id");
  const body = await readInput(c, copyThreadBody, deps.config.bodyBytesMax);
  const repeatEffects = body.holdfast_effects === "repeat";
  const principal = c.get("principal");
  const { tenant, access } = principal;
  if (access === undefined)
    return c.json(presentThread(await copyThread(deps, { threadId, tenant, repeatEffects })));
  const { metadata } = await guardThread(deps, principal, { threadId });
  await ask(principal, "threads:create", { metadata: { ...metadata } });
  return c.json(presentThread(await copyThread(deps, { threadId, tenant, repeatEffects })));
}

async function prune(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, pruneThreadsBody, deps.config.bodyBytesMax);
  const { strategy } = body;
  const asked = await deps.threadKeys.idsOfCalled(tenantOf(c), body.thread_ids);
  const threadIds = await deletable(deps, c, asked);
  return c.json({ pruned_count: await pruneThreads(deps, { threadIds, strategy, tenant: tenantOf(c) }) });
}

/** Those that the caller may delete; hidden ones are left alone like unknown ones. */
async function deletable(deps: HttpDeps, c: RequestContext, asked: string[]): Promise<string[]> {
  const principal = c.get("principal");
  if (principal.access === undefined) return asked;
  const found: string[] = [];
  for (const threadId of asked) {
    const guarded = guardThread(deps, principal, { threadId, action: "delete" });
    const thread = await guarded.catch((error: unknown) => {
      if (error instanceof NotFound) return undefined;
      throw error;
    });
    if (thread !== undefined) found.push(threadId);
  }
  return found;
}

const streamModes = z.array(z.enum(threadStreamModes)).max(threadStreamModes.length);

async function follow(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const asked = c.req.queries("stream_mode")?.flatMap((list) => list.split(","));
  const modes =
    asked === undefined
      ? []
      : parseInput(z.object({ stream_mode: streamModes }), { stream_mode: asked }).stream_mode;
  const thread = await threadOf(deps, c);
  const place = await placeOf(deps, thread, c.req.header("last-event-id") ?? c.req.query("after"));
  const shown = modes.length === 0 ? (["run_modes"] as const) : modes;
  return inSlot(deps, c, async (onClose) => streamThread(deps, { thread, modes: shown, ...place, onClose }));
}

async function search(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, searchThreadsBody, config.bodyBytesMax);
  const { limit, offset, select, extract } = body;
  const filter = await filterOf(deps, c, { body, limit, offset });
  const found = await threads.searchThreads(db, {
    ...filter,
    ...pageOf(body),
    sortBy: body.sort_by ?? "created_at",
  });
  const count = () => threads.countThreads(db, filter);
  const { items, headers } = await answerOf(found, { limit, offset, count });
  const shown = items.map((thread) => {
    const item = presentThread(thread);
    const fields = selected(item, { select, idField: "thread_id" });
    return extract ? { ...fields, extracted: extracted(item, extract) } : fields;
  });
  return c.json(shown, 200, headers);
}

async function count(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, countThreadsBody, config.bodyBytesMax);
  const filter = await filterOf(deps, c, { body, limit: 0, offset: 0 });
  return c.json(one(await threads.countThreads(db, filter)) ?? 0);
}

type Filter = ReturnType<typeof countThreadsBody.parse>;

async function filterOf(
  { threadKeys }: HttpDeps,
  c: RequestContext,
  { body, ...page }: { body: Filter; limit: number; offset: number },
): Promise<threads.ThreadFilter> {
  const { metadata, status, values } = body;
  const ids = body.ids ? await threadKeys.idsOfCalled(tenantOf(c), body.ids) : null;
  const told = { metadata, status, values, ids, ...page };
  return {
    access: await ask(c.get("principal"), "threads:search", told),
    tenant: tenantOf(c),
    metadata: metadata ?? null,
    status: status ?? null,
    values: values ?? null,
    ids,
  };
}

async function patch(
  deps: HttpDeps,
  c: RequestContext,
  { metadata: sent, ttl }: ReturnType<typeof patchThreadBody.parse>,
): Promise<Response> {
  const { db } = deps;
  const value = { metadata: sent ?? {} };
  const { thread_id: threadId } = await threadOf(deps, c, { action: "update", value });
  const metadata = checkedMetadata(value);
  const patched = one(
    await threads.patchThread(db, {
      threadId,
      tenant: tenantOf(c),
      metadata,
      ttl,
    }),
  );
  if (patched === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  if (c.req.header("prefer")?.includes("return=minimal")) return c.body(null, 204);
  return c.json(presentThread(patched));
}
