import { Hono } from "hono";
import { insertThread } from "../../db/queries/create.ts";
import type { ThreadRow } from "../../db/queries/rows.ts";
import * as threads from "../../db/queries/threads.ts";
import { one } from "../../db/query.ts";
import { Conflict, NotFound } from "../../domain/errors.ts";
import { newId } from "../../domain/ids.ts";
import { deleteThread } from "../../queue/cancel.ts";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { pageHeaders, presentThread, selected } from "../present.ts";
import { pathId } from "../schemas/common.ts";
import { countThreadsBody, createThreadBody, patchThreadBody, searchThreadsBody } from "../schemas/thread.ts";

export function threadRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/threads", (c) => create(deps, c));
  routes.post("/threads/search", (c) => search(deps, c));
  routes.post("/threads/count", (c) => count(deps, c));
  routes.get("/threads/:thread_id", async (c) => c.json(presentThread(await threadOf(deps, c))));
  routes.patch("/threads/:thread_id", (c) => patch(deps, c));
  routes.delete("/threads/:thread_id", async (c) => {
    await deleteThread(deps, { threadId: pathId(c, "thread_id"), tenant: tenantOf(c) });
    return c.body(null, 204);
  });
  return routes;
}

/** The thread of the path. Throws NotFound. */
export async function threadOf({ db }: HttpDeps, c: RequestContext): Promise<ThreadRow> {
  const threadId = pathId(c, "thread_id");
  const thread = one(await threads.getThread(db, { threadId, tenant: tenantOf(c) }));
  if (thread === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  return thread;
}

async function create(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, createThreadBody, config.bodyBytesMax);
  const threadId = body.thread_id ?? newId();
  const tenant = tenantOf(c);
  const made = one(await insertThread(db, { threadId, tenant, metadata: body.metadata ?? {} }));
  if (made !== undefined) return c.json(presentThread(made));
  const there = one(await threads.getThread(db, { threadId, tenant }));
  if (there === undefined || body.if_exists !== "do_nothing") throw new Conflict("Thread already exists");
  return c.json(presentThread(there));
}

async function search({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, searchThreadsBody, config.bodyBytesMax);
  const { limit, offset, select } = body;
  const found = await threads.searchThreads(db, {
    ...filterOf(c, body),
    sortBy: body.sort_by ?? "created_at",
    descending: body.sort_order !== "asc",
    limit,
    offset,
  });
  const headers = pageHeaders({ total: found[0]?.total ?? 0, limit, offset });
  const shown = found.map(({ thread }) => selected(presentThread(thread), { select, idField: "thread_id" }));
  return c.json(shown, 200, headers);
}

async function count({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, countThreadsBody, config.bodyBytesMax);
  return c.json(one(await threads.countThreads(db, filterOf(c, body))) ?? 0);
}

type Filter = ReturnType<typeof countThreadsBody.parse>;

function filterOf(c: RequestContext, { metadata, status, values, ids }: Filter): threads.ThreadFilter {
  return {
    tenant: tenantOf(c),
    metadata: metadata ?? null,
    status: status ?? null,
    values: values ?? null,
    ids: ids ?? null,
  };
}

async function patch({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const threadId = pathId(c, "thread_id");
  const { metadata } = await readInput(c, patchThreadBody, config.bodyBytesMax);
  const patched = one(
    await threads.patchThread(db, { threadId, tenant: tenantOf(c), metadata: metadata ?? {} }),
  );
  if (patched === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  if (c.req.header("prefer")?.includes("return=minimal")) return c.body(null, 204);
  return c.json(presentThread(patched));
}
