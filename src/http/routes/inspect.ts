import { Hono } from "hono";
import { effectsOfThread, type ShownEffect } from "../../db/queries/effect-reads.ts";
import type { HttpDeps, HttpEnv } from "../deps.ts";
import { explainThread } from "../explain.ts";
import { pick } from "../present.ts";
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

const shownFields = [
  "effect_id",
  "run_id",
  "task_id",
  "ordinal",
  "tool",
  "tool_version",
  "tool_call_id",
  "class",
  "state",
  "key",
  "business_key",
  "error",
  "attempt",
  "dispatches",
  "looks",
  "prepared_at",
  "first_dispatched_at",
  "dispatched_at",
  "settled_at",
  "checkpoint_ns",
  "checkpoint_id",
  "escalation_id",
  "reuses",
  "seq",
  // What undid it, and what it undoes itself.
  "compensates",
  "compensated_at",
  "compensated_by",
  "compensation_decision",
] as const;

function presentEffect(row: ShownEffect): Record<string, unknown> {
  const { dispatched_at: sent, settled_at: settled } = row;
  return {
    ...pick(row, shownFields),
    args: JSON.parse(row.args),
    result: row.result === null ? null : JSON.parse(row.result),
    duration_ms: sent === null || settled === null ? null : Math.max(0, settled.getTime() - sent.getTime()),
  };
}
