import { Hono } from "hono";
import * as assistants from "../../db/queries/assistants.ts";
import type { AssistantRow } from "../../db/queries/rows.ts";
import { one } from "../../db/query.ts";
import { passes } from "../../domain/access.ts";
import { Conflict, InvalidInput, NotFound } from "../../domain/errors.ts";
import { newId } from "../../domain/ids.ts";
import { findAssistant, guardAssistant } from "../assistant.ts";
import { deleteThreadsOf } from "../assistant-threads.ts";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { Refused } from "../errors.ts";
import { ask } from "../guard.ts";
import { answerOf, pageOf, selected } from "../page.ts";
import { presentAssistant, presentAssistantVersion } from "../present.ts";
import {
  countAssistantsBody,
  createAssistantBody,
  latestBody,
  patchAssistantBody,
  searchAssistantsBody,
  versionsBody,
} from "../schemas/assistant.ts";
import { checkedMetadata, flag } from "../schemas/common.ts";

export const versionsMax = 10_000;
const nameDefault = "Untitled";

/** Assistants are a graph with a config of their own. Every graph of langgraph.json has one; tenants make more. */
export function assistantRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/assistants", (c) => create(deps, c));
  routes.post("/assistants/search", (c) => search(deps, c));
  routes.post("/assistants/count", (c) => count(deps, c));
  routes.get("/assistants/:assistant_id", async (c) => c.json(presentAssistant(await assistantOf(deps, c))));
  routes.patch("/assistants/:assistant_id", (c) => patch(deps, c));
  routes.delete("/assistants/:assistant_id", (c) => remove(deps, c));
  routes.post("/assistants/:assistant_id/versions", (c) => versions(deps, c));
  routes.post("/assistants/:assistant_id/latest", (c) => setLatest(deps, c));
  return routes;
}

/** The assistant of the path, as far as the caller may do that with it (to read it, unless said). Throws NotFound. */
export function assistantOf(
  deps: HttpDeps,
  c: RequestContext,
  wanted: { action?: "read" | "update" | "delete"; value?: object } = {},
): Promise<AssistantRow> {
  const { action = "read", value = {} } = wanted;
  return guardAssistant(deps, c.get("principal"), { id: c.req.param("assistant_id") ?? "", action, value });
}

/** One that the caller may change. Throws NotFound, and Refused for a system assistant: other tenants use it too. */
async function ownAssistantOf(
  deps: HttpDeps,
  c: RequestContext,
  wanted: { action: "update" | "delete"; value?: object },
): Promise<AssistantRow> {
  const assistant = await assistantOf(deps, c, wanted);
  if (!assistant.system) return assistant;
  const deed = wanted.action === "update" ? "changed" : "deleted";
  throw new Refused(
    403,
    `Assistant ${assistant.assistant_id} is the system assistant of graph ${assistant.graph_id}: it comes from langgraph.json and cannot be ${deed}`,
  );
}

async function create(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, createAssistantBody, config.bodyBytesMax);
  checkGraph(deps, body.graph_id);
  const tenant = tenantOf(c);
  const assistantId = body.assistant_id ?? newId();
  const value = { ...body, assistant_id: assistantId, metadata: body.metadata ?? {} };
  const access = await ask(c.get("principal"), "assistants:create", value);
  const metadata = checkedMetadata(value);
  const there = await assistantThere(deps, { id: assistantId, tenant });
  if (there?.system !== true) {
    const made = one(
      await assistants.insertAssistant(db, {
        assistantId,
        tenant,
        graphId: body.graph_id,
        name: body.name ?? nameDefault,
        description: body.description ?? null,
        config: body.config ?? {},
        context: body.context ?? {},
        metadata,
      }),
    );
    if (made !== undefined) return c.json(presentAssistant(made));
  }
  const taken = await assistantThere(deps, { id: assistantId, tenant });
  if (taken === undefined || body.if_exists !== "do_nothing" || !passes(taken.metadata, access))
    throw new Conflict("Assistant already exists");
  return c.json(presentAssistant(taken));
}

function assistantThere(
  deps: HttpDeps,
  asked: { id: string; tenant: string },
): Promise<AssistantRow | undefined> {
  return findAssistant(deps, asked).catch((error: unknown) => {
    if (error instanceof NotFound) return undefined;
    throw error;
  });
}

function checkGraph({ registry }: HttpDeps, graphId: string): void {
  if (registry.has(graphId)) return;
  throw new InvalidInput(`graph_id: langgraph.json has no graph ${graphId}`, { field: "graph_id" });
}

async function patch(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const { graph_id: graphId, ...body } = await readInput(c, patchAssistantBody, config.bodyBytesMax);
  if (typeof graphId === "string") checkGraph(deps, graphId);
  const value = { ...body, graph_id: graphId, metadata: body.metadata ?? {} };
  const { assistant_id: assistantId } = await ownAssistantOf(deps, c, { action: "update", value });
  const patched = one(
    await assistants.patchAssistant(db, {
      assistantId,
      tenant: tenantOf(c),
      graphId: graphId ?? null,
      name: body.name ?? null,
      description: body.description ?? null,
      config: body.config ?? null,
      context: body.context ?? null,
      metadata: checkedMetadata(value),
      versionsMax,
    }),
  );
  if (patched !== undefined) return c.json(presentAssistant(patched));
  // It may have gone meanwhile; else it had its last version.
  await assistantOf(deps, c);
  throw new Conflict(`Assistant ${assistantId} has ${versionsMax} versions, it can have no more`);
}

/** The threads go first: when one of them cannot, the assistant is still there to try again. */
async function remove(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const tenant = tenantOf(c);
  const { assistant_id: assistantId } = await ownAssistantOf(deps, c, { action: "delete" });
  if (flag(c, "delete_threads")) {
    const access = await ask(c.get("principal"), "threads:delete", {});
    await deleteThreadsOf(deps, { assistantId, tenant, access });
  }
  const deleted = await assistants.deleteAssistant(deps.db, { assistantId, tenant });
  if (deleted.length === 0) throw new NotFound("Assistant not found");
  return c.json(deleted);
}

async function versions(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { metadata, ...page } = await readInput(c, versionsBody, deps.config.bodyBytesMax);
  const { assistant_id: assistantId } = await assistantOf(deps, c);
  const access = await ask(c.get("principal"), "assistants:read", { assistant_id: assistantId });
  const filter = { assistantId, metadata: metadata ?? null, access };
  const found = await assistants.listVersions(deps.db, { ...filter, ...page });
  return c.json(found.map(presentAssistantVersion));
}

async function setLatest(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { version } = await readInput(c, latestBody, deps.config.bodyBytesMax);
  const { assistant_id: assistantId } = await ownAssistantOf(deps, c, {
    action: "update",
    value: { version },
  });
  const set = one(await assistants.setLatestVersion(deps.db, { assistantId, tenant: tenantOf(c), version }));
  if (set === undefined) throw new NotFound("Assistant version not found");
  return c.json(presentAssistant(set));
}

async function search(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, searchAssistantsBody, config.bodyBytesMax);
  const { limit, offset, select } = body;
  const filter = await filterOf(deps, c, { body, limit, offset });
  const found = await assistants.searchAssistants(db, {
    ...filter,
    ...pageOf(body),
    sortBy: body.sort_by ?? "created_at",
  });
  const { items, headers } = await answerOf(found, {
    limit,
    offset,
    count: () => assistants.countAssistants(db, filter),
  });
  const shown = items.map((assistant) =>
    selected(presentAssistant(assistant), { select, idField: "assistant_id" }),
  );
  return c.json(shown, 200, headers);
}

async function count(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, countAssistantsBody, config.bodyBytesMax);
  const filter = await filterOf(deps, c, { body, limit: 0, offset: 0 });
  return c.json(one(await assistants.countAssistants(db, filter)) ?? 0);
}

async function filterOf(
  { registry }: HttpDeps,
  c: RequestContext,
  { body, ...page }: { body: ReturnType<typeof countAssistantsBody.parse>; limit: number; offset: number },
): Promise<assistants.AssistantFilter> {
  const { graph_id, name, metadata } = body;
  return {
    access: await ask(c.get("principal"), "assistants:search", { graph_id, metadata, ...page }),
    tenant: tenantOf(c),
    graphIds: registry.graphIds,
    graphId: graph_id ?? null,
    name: name ?? null,
    metadata: metadata ?? null,
  };
}
