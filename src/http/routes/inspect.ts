import { Hono } from "hono";
import { effectsOfThread, type ShownEffect } from "../../db/queries/effect-reads.ts";
import type { HttpDeps, HttpEnv } from "../deps.ts";
import { explainThread } from "../explain.ts";
import { threadOf } from "./threads.ts";

/** What a thread did to the world, and what is the matter with it. */
export function inspectRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.get("/threads/:thread_id/effects", async (c) => {
    const { thread_id: threadId, tenant } = await threadOf(deps, c);
    return c.json((await effectsOfThread(deps.db, { threadId, tenant })).map(presentEffect));
  });
  routes.get("/threads/:thread_id/explain", async (c) =>
    c.json(await explainThread(deps, await threadOf(deps, c))),
  );
  return routes;
}

function presentEffect(row: ShownEffect): Record<string, unknown> {
  const {
    effect_id,
    run_id,
    task_id,
    ordinal,
    tool,
    key,
    state,
    error,
    prepared_at,
    dispatched_at,
    settled_at,
  } = row;
  return {
    effect_id,
    run_id,
    task_id,
    ordinal,
    tool,
    key,
    state,
    args: JSON.parse(row.args),
    result: row.result === null ? null : JSON.parse(row.result),
    error,
    prepared_at,
    dispatched_at,
    settled_at,
  };
}
