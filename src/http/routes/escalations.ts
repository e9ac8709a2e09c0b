import { Hono } from "hono";
import { getEscalation, listEscalations } from "../../db/queries/escalations.ts";
import type { EscalationRow, RunRow } from "../../db/queries/rows.ts";
import { one } from "../../db/query.ts";
import { InvalidInput, NotFound } from "../../domain/errors.ts";
import { type HumanInterrupt, type HumanResponse, isHumanInterrupt } from "../../domain/escalation.ts";
import { decideEscalation } from "../../queue/answer.ts";
import { decideStuck } from "../../queue/decide-stuck.ts";
import { resumeRequest } from "../../queue/resume.ts";
import { readInput } from "../body.ts";
import { userOfPrincipal } from "../caller.ts";
import { type HttpDeps, type HttpEnv, type Principal, type RequestContext, tenantOf } from "../deps.ts";
import { ask, guardPart } from "../guard.ts";
import { presentEscalation, presentRun } from "../present.ts";
import type { ThreadAction } from "../program-auth.ts";
import { pathId, readQuery } from "../schemas/common.ts";
import { type DecideBody, decideBody, escalationsQuery } from "../schemas/escalation.ts";

/** The inbox: questions that runs stopped at, and their answers. */
export function escalationRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.get("/escalations", (c) => list(deps, c));
  routes.get("/escalations/:id", async (c) => c.json(presentEscalation(await escalationOf(deps, c))));
  routes.post("/escalations/:id/decide", (c) => decide(deps, c));
  return routes;
}

async function list({ db, threadKeys }: HttpDeps, c: RequestContext): Promise<Response> {
  const { status, thread_id: called, graph_id, ...page } = readQuery(c, escalationsQuery);
  const thread_id = called && (await threadKeys.idOfCalled(tenantOf(c), called));
  const access = await ask(c.get("principal"), "threads:search", { thread_id });
  const found = await listEscalations(db, {
    access,
    tenant: tenantOf(c),
    status: status ?? null,
    threadId: thread_id ?? null,
    graphId: graph_id ?? null,
    ...page,
  });
  return c.json(found.map(presentEscalation));
}

/** The question of the path, when the caller may do that with its thread. Throws NotFound. */
async function escalationOf(
  deps: HttpDeps,
  c: RequestContext,
  action: ThreadAction = "read",
): Promise<EscalationRow> {
  const escalationId = pathId(c, "id");
  const found = one(await getEscalation(deps.db, { escalationId, tenant: tenantOf(c) }));
  const missing = new NotFound(`Escalation ${escalationId} not found`);
  if (found === undefined) throw missing;
  await guardPart(deps, c.get("principal"), { threadId: found.thread_id, action, missing });
  return found;
}

async function decide(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, decideBody, deps.config.bodyBytesMax);
  const question = await escalationOf(deps, c, "create_run");
  const run = await answer(deps, question, { body, caller: c.get("principal") });
  deps.bus.publish("queue", run.thread_id);
  const escalation = await escalationOf(deps, c);
  return c.json({ escalation: presentEscalation(escalation), run: presentRun(run) }, 202);
}

/** A graph's question is answered by resuming it, that of a stuck compensation by going on with it. */
async function answer(
  { db }: HttpDeps,
  question: EscalationRow,
  { body, caller }: { body: DecideBody; caller: Principal },
): Promise<RunRow> {
  const principal = caller.name;
  const value = resumeValue(question, body);
  if (question.compensation) {
    const [response] = value as [HumanResponse];
    return decideStuck(db, { question, response, principal });
  }
  const request = await resumeRequest(db, { question, value, principal, user: userOfPrincipal(caller) });
  return (await decideEscalation(db, { question, request })).run;
}

/** What `interrupt()` will return: Agent Inbox's list of responses for its payloads, anything else as it was sent. */
function resumeValue(question: EscalationRow, body: DecideBody): unknown {
  const payload: unknown = JSON.parse(question.payload);
  if (body.decision === undefined || body.decision === null) {
    if (body.resume !== undefined && body.resume !== null && !isHumanInterrupt(payload)) return body.resume;
    const field = isHumanInterrupt(payload) ? "decision" : "resume";
    throw new InvalidInput(`${field}: this question needs a ${field}`, { field });
  }
  if (!isHumanInterrupt(payload)) {
    throw new InvalidInput("resume: this question takes any value, send it as resume", { field: "resume" });
  }
  if (!question.allowed_decisions.includes(body.decision)) {
    const allowed = question.allowed_decisions.join(", ");
    throw new InvalidInput(`decision: ${body.decision} is not allowed here, only ${allowed}`, {
      field: "decision",
    });
  }
  return [responseOf(payload, body.decision, body)];
}

function responseOf(
  payload: unknown,
  type: HumanResponse["type"],
  { args, comment }: DecideBody,
): HumanResponse {
  if (type === "edit") return { type, args: editedAction(payload, args) };
  if (type !== "response") return { type, args: args ?? comment ?? null };
  const text = args ?? comment;
  if (typeof text === "string") return { type, args: text };
  throw new InvalidInput("args: a response is a text", { field: "args" });
}

/** An edit names the action too; arguments alone mean the action that was proposed. */
function editedAction(payload: unknown, args: unknown): unknown {
  if (typeof args !== "object" || args === null || Array.isArray(args)) {
    throw new InvalidInput("args: an edit sends the new arguments as an object", { field: "args" });
  }
  if ("action" in args && "args" in args) return args;
  const first = (Array.isArray(payload) ? payload[0] : payload) as HumanInterrupt;
  return { action: first.action_request.action, args };
}
