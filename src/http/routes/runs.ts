import { Hono } from "hono";
import { lastSeq } from "../../db/queries/events.ts";
import type { RunRow } from "../../db/queries/rows.ts";
import { getRun, listRuns, openRunsOf } from "../../db/queries/runs.ts";
import { one } from "../../db/query.ts";
import { NotFound } from "../../domain/errors.ts";
import { isTerminal, type RunStatus, runStatuses, wireStatus } from "../../domain/run.ts";
import type { RunName } from "../../domain/run-end.ts";
import { cancelRun, deleteRun } from "../../queue/cancel.ts";
import type { Accepted } from "../../queue/create.ts";
import { acceptRun } from "../accept.ts";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { ask, guardPart } from "../guard.ts";
import { presentRun } from "../present.ts";
import type { ThreadAction } from "../program-auth.ts";
import { inSlot } from "../rate-limit.ts";
import { flag, pageSizeMax, pathId, readQuery } from "../schemas/common.ts";
import {
  batchBody,
  cancelManyBody,
  cancelQuery,
  listRunsQuery,
  type RunBody,
  runBody,
} from "../schemas/run.ts";
import { positionOf, streamRun } from "../sse.ts";
import { respondAtEnd, waitForEnd } from "../wait.ts";
import { threadOf } from "./threads.ts";

/** Runs of a thread, and runs that bring their own (`/runs…`): the same handlers, with or without a thread id. */
export function runRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  for (const base of ["/threads/:thread_id/runs", "/runs"]) {
    routes.post(base, (c) => create(deps, c));
    routes.post(`${base}/stream`, (c) => createAndStream(deps, c));
    routes.post(`${base}/wait`, (c) => createAndWait(deps, c));
    routes.get(`${base}/:run_id`, async (c) => c.json(presentRun(await runOf(deps, c))));
    routes.delete(`${base}/:run_id`, (c) => remove(deps, c));
    routes.get(`${base}/:run_id/join`, (c) => join(deps, c));
    routes.get(`${base}/:run_id/stream`, (c) => joinStream(deps, c));
    routes.post(`${base}/:run_id/cancel`, (c) => cancel(deps, c));
  }
  routes.get("/threads/:thread_id/runs", (c) => list(deps, c));
  routes.post("/runs/cancel", (c) => cancelMany(deps, c));
  routes.post("/runs/batch", (c) => createBatch(deps, c));
  return routes;
}

const threadIdOf = (c: RequestContext): string | null =>
  c.req.param("thread_id") === undefined ? null : pathId(c, "thread_id");

async function accept(deps: HttpDeps, c: RequestContext): Promise<Accepted & { body: RunBody }> {
  const threadId = threadIdOf(c);
  const body = await readInput(c, runBody, deps.config.bodyBytesMax);
  const idempotencyKey = c.req.header("idempotency-key");
  const accepted = await acceptRun(deps, {
    body,
    threadId,
    threadKey: c.get("keyed")?.key,
    idempotencyKey,
    principal: c.get("principal"),
  });
  return { ...accepted, body };
}

/** Clients read the run's id from the first, and reconnect to the second. */
function locations(c: RequestContext, run: RunRow): Record<string, string> {
  const base = c.req.param("thread_id") === undefined ? "" : `/threads/${run.thread_id}`;
  const path = `${base}/runs/${run.run_id}`;
  return { "content-location": path, location: `${path}/stream` };
}

async function create(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { run } = await accept(deps, c);
  return c.json(presentRun(run), 200, { "content-location": locations(c, run)["content-location"] ?? "" });
}

async function createBatch(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const bodies = await readInput(c, batchBody, deps.config.bodyBytesMax);
  const runs: RunRow[] = [];
  for (const body of bodies) {
    const { run } = await acceptRun(deps, {
      body,
      threadId: null,
      idempotencyKey: undefined,
      principal: c.get("principal"),
    });
    runs.push(run);
  }
  return c.json(runs.map(presentRun));
}

async function createAndStream(deps: HttpDeps, c: RequestContext): Promise<Response> {
  return inSlot(deps, c, async (onClose) => {
    const { run, body } = await accept(deps, c);
    return streamRun(deps, {
      runId: run.run_id,
      afterSeq: -1,
      headers: locations(c, run),
      ...leaving(deps, run, body),
      onClose,
    });
  });
}

async function createAndWait(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { run, replayed, body } = await accept(deps, c);
  const headers = locations(c, run);
  return respondAtEnd(deps, nameOf(run), { headers, isNew: !replayed, ...leaving(deps, run, body) });
}

/** `on_disconnect: "cancel"`: a client that goes away takes its run along. */
function leaving(
  deps: HttpDeps,
  run: RunRow,
  { on_disconnect }: Pick<RunBody, "on_disconnect">,
): { onDisconnect?: () => void } {
  if (on_disconnect !== "cancel" || run.kind === "compensation") return {};
  const onDisconnect = (): void => {
    cancelRun(deps, { ...nameOf(run), action: "interrupt" }).catch((error: unknown) => {
      if (!(error instanceof NotFound))
        deps.log.error({ error, run_id: run.run_id }, "cancel on disconnect failed");
    });
  };
  return { onDisconnect };
}

const nameOf = (run: RunRow): RunName => ({ runId: run.run_id, threadId: run.thread_id, tenant: run.tenant });

/** The run of the path, as far as the caller may do that with it (to read it, unless said). Throws NotFound. */
async function runOf(
  deps: HttpDeps,
  c: RequestContext,
  { action = "read", value = {} }: { action?: ThreadAction; value?: object } = {},
): Promise<RunRow> {
  const [threadId, runId] = [threadIdOf(c), pathId(c, "run_id")];
  const run = one(await getRun(deps.db, { runId, threadId, tenant: tenantOf(c) }));
  const missing = new NotFound("Run not found");
  if (run === undefined) throw missing;
  const part = { threadId: run.thread_id, action, value: { ...value, run_id: runId }, missing };
  await guardPart(deps, c.get("principal"), part);
  return run;
}

async function list(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { db } = deps;
  const { status, ...page } = readQuery(c, listRunsQuery);
  const statuses =
    status === undefined ? null : runStatuses.filter((inner: RunStatus) => wireStatus(inner) === status);
  const { thread_id: threadId } = await threadOf(deps, c);
  const found = await listRuns(db, { threadId, tenant: tenantOf(c), statuses, ...page });
  return c.json(found.map(presentRun));
}

async function remove(deps: HttpDeps, c: RequestContext): Promise<Response> {
  await deleteRun(deps, nameOf(await runOf(deps, c, { action: "delete" })));
  return c.body(null, 204);
}

async function join(deps: HttpDeps, c: RequestContext): Promise<Response> {
  return respondAtEnd(deps, nameOf(await runOf(deps, c)), { headers: {} });
}

async function joinStream(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const run = await runOf(deps, c);
  const header = c.req.header("last-event-id");
  const position = positionOf(header, one(await lastSeq(deps.db, { runId: run.run_id })) ?? -1);
  const on_disconnect = flag(c, "cancel_on_disconnect") ? "cancel" : "continue";
  if (on_disconnect === "cancel") await runOf(deps, c, { action: "update", value: { action: "interrupt" } });
  return inSlot(deps, c, async (onClose) =>
    streamRun(deps, {
      runId: run.run_id,
      ...position,
      headers: locations(c, run),
      ...leaving(deps, run, { on_disconnect }),
      onClose,
    }),
  );
}

async function cancel(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { action } = readQuery(c, cancelQuery);
  const value = { action, metadata: { run_ids: [c.req.param("run_id")], status: "pending" } };
  const run = await runOf(deps, c, { action: "update", value });
  const after = await cancelRun(deps, { ...nameOf(run), action });
  if (!flag(c, "wait")) return c.body(null, 202);
  if (!isTerminal(after.status)) await waitForEnd(deps, nameOf(run), c.req.raw.signal);
  return c.body(null, 204);
}

/** The runs named, or every open one of that status; those that have ended meanwhile, and compensations, stay as they are. */
async function cancelMany(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { action } = readQuery(c, cancelQuery);
  const body = await readInput(c, cancelManyBody, deps.config.bodyBytesMax);
  const tenant = tenantOf(c);
  const { run_ids, status } = body;
  const thread_id = body.thread_id && (await deps.threadKeys.idOfCalled(tenant, body.thread_id));
  const told = { thread_id, action, metadata: { run_ids, status } };
  const access = await ask(c.get("principal"), "threads:update", told);
  const statuses = {
    pending: ["queued", "blocked"],
    running: ["running"],
    all: ["queued", "blocked", "running"],
  };
  const open = await openRunsOf(deps.db, {
    tenant,
    threadId: thread_id ?? null,
    runIds: run_ids ?? null,
    statuses: statuses[status ?? "all"],
    access,
    limit: pageSizeMax,
  });
  for (const run of open) {
    if (run.kind === "compensation") continue;
    await cancelRun(deps, { ...nameOf(run), action }).catch((error: unknown) => {
      if (!(error instanceof NotFound)) throw error;
    });
  }
  return c.body(null, 204);
}
