import { Hono } from "hono";
import type { z } from "zod";
import { passes } from "../../domain/access.ts";
import { graphIdOf, readHistory, readState } from "../../engine/state.ts";
import { updateState } from "../../engine/state-update.ts";
import { parseInput, readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { Refused } from "../errors.ts";
import { ask } from "../guard.ts";
import { flag, pageSizeDefault, readQuery, shortText } from "../schemas/common.ts";
import { historyBody, historyQuery, stateAtBody, updateStateBody } from "../schemas/thread.ts";
import { threadOf } from "./threads.ts";

export function stateRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  const base = "/threads/:thread_id";
  routes.get(`${base}/state`, (c) => state(deps, c));
  routes.get(`${base}/state/:checkpoint_id`, (c) => state(deps, c));
  routes.post(`${base}/state/checkpoint`, (c) => stateAt(deps, c));
  routes.post(`${base}/state`, (c) => update(deps, c));
  routes.get(`${base}/history`, (c) => history(deps, c, readQuery(c, historyQuery)));
  routes.post(`${base}/history`, async (c) => {
    return history(deps, c, await readInput(c, historyBody, deps.config.bodyBytesMax));
  });
  return routes;
}

async function state(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const checkpoint_id = c.req.param("checkpoint_id");
  const at = checkpoint_id === undefined ? {} : { checkpoint_id: parseInput(shortText, checkpoint_id) };
  return c.json(await readState(deps, await threadOf(deps, c), { at, subgraphs: flag(c, "subgraphs") }));
}

async function stateAt(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { checkpoint, subgraphs } = await readInput(c, stateAtBody, deps.config.bodyBytesMax);
  return c.json(
    await readState(deps, await threadOf(deps, c), { at: checkpoint, subgraphs: subgraphs ?? false }),
  );
}

async function update(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, updateStateBody, deps.config.bodyBytesMax);
  const thread = await threadOf(deps, c);
  const access = await ask(c.get("principal"), "threads:update", { thread_id: thread.thread_id });
  // The caller sees it already: there is nothing to hide.
  if (!passes(thread.metadata, access)) throw new Refused(403, "Forbidden");
  if (graphIdOf(thread) === null) {
    throw new Refused(400, `Thread with ID ${thread.thread_id} has no graph ID: run a graph on it first`);
  }
  const checkpoint = await updateState(deps, {
    threadId: thread.thread_id,
    tenant: tenantOf(c),
    values: body.values ?? null,
    asNode: body.as_node ?? null,
    at: body.checkpoint ?? { checkpoint_id: body.checkpoint_id },
  });
  // Streams of the thread show it.
  deps.bus.publish("run", thread.thread_id);
  return c.json({ checkpoint });
}

async function history(
  deps: HttpDeps,
  c: RequestContext,
  body: Partial<z.infer<typeof historyBody>>,
): Promise<Response> {
  const thread = await threadOf(deps, c);
  const { before } = body;
  const beforeId =
    typeof before === "string" || before === null || before === undefined
      ? before
      : "configurable" in before
        ? before.configurable.checkpoint_id
        : before.checkpoint_id;
  const states = await readHistory(deps, thread, {
    at: body.checkpoint ?? {},
    limit: body.limit ?? pageSizeDefault,
    before: beforeId ?? null,
    metadata: body.metadata ?? null,
  });
  return c.json(states);
}
