import { Hono } from "hono";
import { deadLetterGroups, discardDeadLetters, listDeadLetters } from "../../db/queries/dead-letters.ts";
import type { RunRow } from "../../db/queries/rows.ts";
import { getRun } from "../../db/queries/runs.ts";
import { one } from "../../db/query.ts";
import { withoutUser } from "../../domain/caller.ts";
import { Conflict, NotFound } from "../../domain/errors.ts";
import { deadLetterGroup, deadLetterLine, deadLetterStory } from "../../queue/dead-letter.ts";
import { discardMany, redriveMany, redriveRun } from "../../queue/redrive.ts";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { ask, guardPart } from "../guard.ts";
import { presentRun } from "../present.ts";
import type { ThreadAction } from "../program-auth.ts";
import { flag, pathId, readQuery } from "../schemas/common.ts";
import {
  deadLettersQuery,
  discardBody,
  discardManyBody,
  filterOf,
  redriveBody,
  redriveManyBody,
} from "../schemas/dead-letter.ts";

/** Runs that ended in error, and what can be done about them: one, or many of one cause. */
export function deadLetterRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.get("/dead-letters", (c) => list(deps, c));
  routes.get("/dead-letters/groups", (c) => groups(deps, c));
  routes.post("/dead-letters/redrive", (c) => redriveSeveral(deps, c));
  routes.post("/dead-letters/discard", (c) => discardSeveral(deps, c));
  routes.get("/dead-letters/:run_id", async (c) =>
    c.json(await deadLetterStory(deps.db, await deadLetterOf(deps, c))),
  );
  routes.post("/dead-letters/:run_id/redrive", (c) => redrive(deps, c));
  routes.post("/dead-letters/:run_id/discard", (c) => discard(deps, c));
  return routes;
}

/** Which of them are meant: those whose threads the caller may do that with. */
async function visible(c: RequestContext, action: ThreadAction) {
  return { tenant: tenantOf(c), access: await ask(c.get("principal"), `threads:${action}`, {}) };
}

async function list({ db }: HttpDeps, c: RequestContext): Promise<Response> {
  const { limit, offset, ...narrow } = readQuery(c, deadLettersQuery);
  const filter = filterOf(await visible(c, "search"), { narrow, all: flag(c, "all") });
  return c.json((await listDeadLetters(db, { ...filter, limit, offset })).map(deadLetterLine));
}

async function groups({ db }: HttpDeps, c: RequestContext): Promise<Response> {
  const { limit, offset, ...narrow } = readQuery(c, deadLettersQuery);
  const filter = filterOf(await visible(c, "search"), { narrow, all: flag(c, "all") });
  return c.json((await deadLetterGroups(db, { ...filter, limit, offset })).map(deadLetterGroup));
}

async function redrive(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { run_id: runId } = await deadLetterOf(deps, c, "create_run");
  const { dry_run: dryRun, from, effects, input } = await readInput(c, redriveBody, deps.config.bodyBytesMax);
  const asked = { tenant: tenantOf(c), runId, principal: c.get("principal").name, afterSeconds: 0 };
  const { run, threadId, kwargs } = await redriveRun(deps, { ...asked, from, effects, input, dryRun });
  if (run !== null) return c.json({ ...presentRun(run), redrive_of: run.redrive_of }, 202);
  return c.json({ dry_run: true, redrive_of: runId, thread_id: threadId, kwargs: withoutUser(kwargs) });
}

async function redriveSeveral(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, redriveManyBody, deps.config.bodyBytesMax);
  const { group, run_ids: runIds, filter: narrow, dry_run: dryRun, rate_per_second, ...choice } = body;
  const tenant = tenantOf(c);
  const results = await redriveMany(deps, {
    ...choice,
    input: undefined,
    tenant,
    principal: c.get("principal").name,
    which: filterOf(await visible(c, "create_run"), { narrow, group, runIds }),
    ratePerSecond: rate_per_second ?? null,
    dryRun,
  });
  const redriven = results.filter((result) => result.redriven).length;
  const counts = { matched: results.length, redriven, refused: results.length - redriven };
  return c.json({ dry_run: dryRun, ...counts, results }, dryRun ? 200 : 202);
}

async function discard(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { reason } = await readInput(c, discardBody, deps.config.bodyBytesMax);
  const { run_id: runId } = await deadLetterOf(deps, c, "update");
  const discarded = one(await discardDeadLetters(deps.db, { runIds: [runId], tenant: tenantOf(c), reason }));
  if (discarded === undefined) throw new Conflict(`run ${runId} was discarded before`);
  return c.json(deadLetterLine(discarded));
}

async function discardSeveral({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, discardManyBody, config.bodyBytesMax);
  const { group, run_ids: runIds, filter: narrow, limit, reason, dry_run: dryRun } = body;
  const which = filterOf(await visible(c, "update"), { narrow, group, runIds });
  const ids = await discardMany(db, { which, limit, reason, dryRun });
  const refused = (runIds ?? []).filter((id) => !ids.includes(id));
  return c.json({ dry_run: dryRun, discarded: ids.length, run_ids: ids, refused });
}

/** The dead letter of the path, when the caller may do that with its thread. Throws NotFound. */
async function deadLetterOf(
  deps: HttpDeps,
  c: RequestContext,
  action: ThreadAction = "read",
): Promise<RunRow> {
  const runId = pathId(c, "run_id");
  const run = one(await getRun(deps.db, { runId, threadId: null, tenant: tenantOf(c) }));
  const missing = new NotFound(`Dead letter ${runId} not found`);
  if (run === undefined || (run.status !== "error" && run.status !== "timeout")) throw missing;
  const part = { threadId: run.thread_id, action, value: { run_id: runId }, missing };
  await guardPart(deps, c.get("principal"), part);
  return run;
}
