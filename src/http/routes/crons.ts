import { Hono } from "hono";
import * as crons from "../../db/queries/crons.ts";
import type { CronRow } from "../../db/queries/rows.ts";
import { getThreadHead } from "../../db/queries/threads.ts";
import { one } from "../../db/query.ts";
import { passes } from "../../domain/access.ts";
import { userIn } from "../../domain/caller.ts";
import { NotFound } from "../../domain/errors.ts";
import { newId } from "../../domain/ids.ts";
import { firstTick } from "../../domain/schedule.ts";
import { checkWebhook, permitted } from "../accept.ts";
import { assistantForRun } from "../assistant.ts";
import { readInput } from "../body.ts";
import { userOfPrincipal } from "../caller.ts";
import { type HttpDeps, type HttpEnv, type Principal, type RequestContext, tenantOf } from "../deps.ts";
import { ask } from "../guard.ts";
import { answerOf, pageOf, selected } from "../page.ts";
import { presentCron } from "../present.ts";
import { checkedMetadata, pathId } from "../schemas/common.ts";
import {
  type CreateCronBody,
  countCronsBody,
  createCronBody,
  type PatchCronBody,
  patchCronBody,
  payloadKeys,
  searchCronsBody,
} from "../schemas/cron.ts";

/** Runs that start by the clock; the worker role fires them (queue/crons.ts). */
export function cronRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/runs/crons", (c) => create(deps, c, null));
  routes.post("/threads/:thread_id/runs/crons", (c) => create(deps, c, pathId(c, "thread_id")));
  routes.post("/runs/crons/search", (c) => search(deps, c));
  routes.post("/runs/crons/count", (c) => count(deps, c));
  routes.patch("/runs/crons/:cron_id", (c) => patch(deps, c));
  routes.delete("/runs/crons/:cron_id", (c) => remove(deps, c));
  return routes;
}

async function create(deps: HttpDeps, c: RequestContext, threadId: string | null): Promise<Response> {
  const { db, config } = deps;
  const sent = await readInput(c, createCronBody, config.bodyBytesMax);
  checkWebhook(deps, sent.webhook);
  const principal = c.get("principal");
  const { assistant_id: assistantId } = await assistantForRun(deps, principal, sent.assistant_id);
  const body = await permittedCron(deps, principal, { body: sent, threadId, assistantId });
  const now = one(await crons.databaseNow(db, undefined)) ?? new Date();
  const { name, tenant } = principal;
  const settings = settingsOf(body, now);
  const made = one(
    await crons.insertCron(db, {
      ...settings,
      cronId: newId(),
      tenant,
      principal: name,
      threadId,
      assistantId,
    }),
  );
  if (made === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  return c.json(presentCron(made));
}

/**
 * A cron runs with what its maker may do: the thread must be one to run on, and its runs are the maker's. What handlers add
 * to the metadata of runs or of crons is in that of both.
 */
async function permittedCron(
  deps: HttpDeps,
  principal: Principal,
  { body, threadId, assistantId }: { body: CreateCronBody; threadId: string | null; assistantId: string },
): Promise<CreateCronBody> {
  const { body: asked, access } = await permitted(principal, { body, threadId }, assistantId);
  if (principal.access === undefined) return asked;
  const { tenant } = principal;
  const thread = threadId === null ? undefined : one(await getThreadHead(deps.db, { threadId, tenant }));
  if (threadId !== null && (thread === undefined || !passes(thread.metadata, access)))
    throw new NotFound(`Thread with ID ${threadId} not found`);
  const { schedule, end_time } = body;
  const value = { thread_id: threadId, schedule, end_time, payload: body, metadata: asked.metadata ?? {} };
  await ask(principal, "crons:create", value);
  return { ...asked, metadata: checkedMetadata(value), config: asUser(asked.config, principal) };
}

/** The config with the user whose runs these are; as it was for whoever has a key of ours. */
function asUser(config: CreateCronBody["config"], principal: Principal): CreateCronBody["config"] {
  const user = userOfPrincipal(principal);
  if (principal.access === undefined) return config;
  return { ...config, configurable: { ...config?.configurable, ...user } };
}

function settingsOf(body: CreateCronBody, now: Date): crons.CronSettings {
  const timing = {
    schedule: body.schedule,
    timezone: body.timezone ?? null,
    endTime: body.end_time ?? null,
  };
  const first = firstTick(timing, now);
  const enabled = body.enabled ?? true;
  return {
    ...timing,
    enabled,
    missed: body.missed ?? "once",
    onRunCompleted: body.on_run_completed ?? "delete",
    payload: given(body),
    metadata: body.metadata ?? {},
    nextRunDate: enabled ? first : null,
  };
}

/** The fields that each run gets, as far as they were sent. */
const given = (body: CreateCronBody | PatchCronBody): Record<string, unknown> =>
  Object.fromEntries(payloadKeys.map((key) => [key, body[key]]).filter(([, value]) => value !== undefined));

/** The cron is locked between reading and writing, so that no tick is fired or lost in between. */
async function patch(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const key = { cronId: pathId(c, "cron_id"), tenant: tenantOf(c) };
  const sent = await readInput(c, patchCronBody, config.bodyBytesMax);
  checkWebhook(deps, sent.webhook);
  const principal = c.get("principal");
  const value = { schedule: sent.schedule, payload: sent, metadata: sent.metadata ?? {} };
  const before = await guardCron(deps, c, { action: "update", value });
  const user = { ...userIn(before.payload.config?.configurable ?? {}), ...userOfPrincipal(principal) };
  const body = { ...sent, metadata: checkedMetadata(value), ...configOf(sent, before, user) };
  const patched = await db.transaction(async (tx) => {
    const cron = one(await crons.lockCron(tx, key));
    if (cron === undefined) return undefined;
    const now = one(await crons.databaseNow(tx, undefined)) ?? new Date();
    return one(await crons.updateCron(tx, { ...key, ...changed(cron, body, now) }));
  });
  if (patched === undefined) throw notFound(key.cronId);
  return c.json(presentCron(patched));
}

/** Its runs stay those of a user: of the one who changes it, else of the one who made it. */
function configOf(
  sent: PatchCronBody,
  before: CronRow,
  user: Record<string, unknown>,
): Pick<PatchCronBody, "config"> {
  if (Object.keys(user).length === 0) return {};
  const config = sent.config === undefined ? before.payload.config : sent.config;
  return { config: { ...config, configurable: { ...config?.configurable, ...user } } };
}

/** The cron of the path, as far as the caller may do that with it. Throws NotFound. */
async function guardCron(
  { db }: HttpDeps,
  c: RequestContext,
  { action, value }: { action: "update" | "delete"; value: object },
): Promise<CronRow> {
  const { tenant, ...principal } = c.get("principal");
  const cronId = pathId(c, "cron_id");
  const told = Object.assign(value, { cron_id: cronId });
  const access = await ask({ ...principal, tenant }, `crons:${action}`, told);
  const cron = one(await crons.getCron(db, { cronId, tenant }));
  if (cron === undefined || !passes(cron.metadata, access)) throw notFound(cronId);
  return cron;
}

/** A cron that is told nothing about time keeps its next tick; else it starts anew from now, without catching up. */
function changed(cron: CronRow, body: PatchCronBody, now: Date): crons.CronSettings {
  const timing = {
    schedule: body.schedule ?? cron.schedule,
    timezone: body.timezone === undefined ? cron.timezone : body.timezone,
    endTime: body.end_time === undefined ? cron.end_time : body.end_time,
  };
  const enabled = body.enabled ?? cron.enabled;
  return {
    ...timing,
    enabled,
    missed: body.missed ?? cron.missed,
    onRunCompleted: body.on_run_completed ?? cron.on_run_completed,
    payload: { ...cron.payload, ...given(body) },
    metadata: { ...cron.metadata, ...body.metadata },
    nextRunDate: nextAfterChange(cron, { timing, enabled, body, now }),
  };
}

function nextAfterChange(
  cron: CronRow,
  change: {
    timing: Parameters<typeof firstTick>[0];
    enabled: boolean;
    body: PatchCronBody;
    now: Date;
  },
): Date | null {
  const { timing, enabled, body, now } = change;
  const told = [body.schedule, body.timezone, body.end_time].some((value) => value !== undefined);
  const resumed = enabled && !cron.enabled;
  const first = told || resumed ? firstTick(timing, now) : cron.next_run_date;
  return enabled ? first : null;
}

async function remove(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db } = deps;
  await guardCron(deps, c, { action: "delete", value: {} });
  const key = { cronId: pathId(c, "cron_id"), tenant: tenantOf(c) };
  if ((await crons.deleteCron(db, key)).length === 0) throw notFound(key.cronId);
  return c.json({});
}

const notFound = (cronId: string): NotFound => new NotFound(`Cron with ID ${cronId} not found`);

async function search(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, searchCronsBody, config.bodyBytesMax);
  const { limit, offset, select } = body;
  const filter = await filterOf(deps, c, { body, limit, offset });
  const found = await crons.searchCrons(db, {
    ...filter,
    ...pageOf(body),
    sortBy: body.sort_by ?? "created_at",
  });
  const { items, headers } = await answerOf(found, {
    limit,
    offset,
    count: () => crons.countCrons(db, filter),
  });
  const shown = items.map((cron) => selected(presentCron(cron), { select, idField: "cron_id" }));
  return c.json(shown, 200, headers);
}

async function count(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db, config } = deps;
  const body = await readInput(c, countCronsBody, config.bodyBytesMax);
  const filter = await filterOf(deps, c, { body, limit: 0, offset: 0 });
  return c.json(one(await crons.countCrons(db, filter)) ?? 0);
}

async function filterOf(
  { threadKeys }: HttpDeps,
  c: RequestContext,
  { body, ...page }: { body: ReturnType<typeof countCronsBody.parse>; limit: number; offset: number },
): Promise<crons.CronFilter> {
  const { assistant_id } = body;
  const thread_id = body.thread_id && (await threadKeys.idOfCalled(tenantOf(c), body.thread_id));
  return {
    access: await ask(c.get("principal"), "crons:search", { assistant_id, thread_id, ...page }),
    tenant: tenantOf(c),
    assistantId: body.assistant_id ?? null,
    threadId: thread_id ?? null,
    enabled: body.enabled ?? null,
    metadata: body.metadata ?? null,
  };
}
