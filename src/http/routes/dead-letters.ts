import { Hono } from "hono";
import { z } from "zod";
import type { RunRow } from "../../db/queries/rows.ts";
import {
  discardDeadLetter,
  getRun,
  listAttempts,
  listDeadLetters,
  redrivesOf,
} from "../../db/queries/runs.ts";
import { one } from "../../db/query.ts";
import { Conflict, NotFound } from "../../domain/errors.ts";
import { redriveRun } from "../../queue/redrive.ts";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { pick, presentRun } from "../present.ts";
import { flag, limit, offset, pathId, readQuery, shortText } from "../schemas/common.ts";

const listSizeDefault = 50;
const reasonCharsMax = 1_000;

const listQuery = z.object({ graph_id: shortText.optional(), limit: limit.default(listSizeDefault), offset });
const discardBody = z.object({ reason: z.string().trim().min(1).max(reasonCharsMax) });

/** Runs that ended in error, and what can be done about them. */
export function deadLetterRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const { db, config } = deps;
  const routes = new Hono<HttpEnv>();
  routes.get("/dead-letters", async (c) => {
    const { graph_id, ...page } = readQuery(c, listQuery);
    const all = flag(c, "all");
    const found = await listDeadLetters(db, { tenant: tenantOf(c), all, graphId: graph_id ?? null, ...page });
    return c.json(found.map(presentDeadLetter));
  });
  routes.get("/dead-letters/:run_id", async (c) => {
    const dead = await deadLetterOf(deps, c);
    const attempts = await listAttempts(db, { runId: dead.run_id });
    const redrives = await redrivesOf(db, { runId: dead.run_id });
    return c.json({ ...presentDeadLetter(dead), attempts, redriven_by: redrives.map((run) => run.run_id) });
  });
  routes.post("/dead-letters/:run_id/redrive", async (c) => {
    const { run_id: runId } = await deadLetterOf(deps, c);
    const run = await redriveRun(deps, { tenant: tenantOf(c), runId, principal: c.get("principal").name });
    return c.json({ ...presentRun(run), redrive_of: run.redrive_of }, 202);
  });
  routes.post("/dead-letters/:run_id/discard", async (c) => {
    const { reason } = await readInput(c, discardBody, config.bodyBytesMax);
    const { run_id: runId } = await deadLetterOf(deps, c);
    const discarded = one(await discardDeadLetter(db, { runId, tenant: tenantOf(c), reason }));
    if (discarded === undefined) throw new Conflict(`run ${runId} was discarded before`);
    return c.json(presentDeadLetter(discarded));
  });
  return routes;
}

async function deadLetterOf({ db }: HttpDeps, c: RequestContext): Promise<RunRow> {
  const runId = pathId(c, "run_id");
  const run = one(await getRun(db, { runId, threadId: null, tenant: tenantOf(c) }));
  if (run !== undefined && (run.status === "error" || run.status === "timeout")) return run;
  throw new NotFound(`Dead letter ${runId} not found`);
}

const storyFields = [
  "graph_id",
  "error",
  "attempt",
  "failures",
  "crashes",
  "finished_at",
  "discarded_at",
  "discard_reason",
  "redrive_of",
] as const;

const presentDeadLetter = (run: RunRow): Record<string, unknown> => ({
  ...presentRun(run),
  ...pick(run, storyFields),
});
