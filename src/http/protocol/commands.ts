import { escalationsOfThread } from "../../db/queries/escalations.ts";
import * as protocol from "../../db/queries/protocol.ts";
import type { EscalationRow, ThreadHead } from "../../db/queries/rows.ts";
import { getRun } from "../../db/queries/runs.ts";
import { getThreadHead } from "../../db/queries/threads.ts";
import { one } from "../../db/query.ts";
import { seqOf, threadStart } from "../../domain/position.ts";
import { isTerminal } from "../../domain/run.ts";
import { readState } from "../../engine/state.ts";
import { acceptRun } from "../accept.ts";
import { parseInput } from "../body.ts";
import type { HttpDeps, Principal } from "../deps.ts";
import { type Command, respondParams, runStartParams, stateParams } from "../schemas/protocol.ts";
import { runBody } from "../schemas/run.ts";
import { type CommandError, CommandRefused, commandErrorOf } from "./command.ts";
import { terminal } from "./tape.ts";
import { agentTree } from "./tree.ts";

/** Who sends a command, and to which thread. */
export interface Caller {
  threadId: string;
  threadKey?: string | undefined;
  principal: Principal;
  idempotencyKey: string | undefined;
}

export interface CommandSuccess {
  type: "success";
  id: number;
  result: Record<string, unknown>;
  meta: { thread_id: string; applied_through_seq: number };
}

type Handler = (deps: HttpDeps, caller: Caller, params: unknown) => Promise<Record<string, unknown>>;

const handlers: Readonly<Record<string, Handler>> = {
  "run.start": startRun,
  "input.respond": respond,
  "state.get": getState,
  "agent.getTree": getTree,
};
const known = [
  "input.inject",
  "subscription.subscribe",
  "subscription.unsubscribe",
  "subscription.reconnect",
];

/** Does what a command says, by the same functions as the routes. Every failure but a database that is away is an answer. */
export async function handleCommand(
  deps: HttpDeps,
  caller: Caller,
  command: Command,
): Promise<CommandSuccess | CommandError> {
  try {
    const handler = Object.hasOwn(handlers, command.method) ? handlers[command.method] : undefined;
    if (handler === undefined) throw unknownCommand(command.method);
    const result = await handler(deps, caller, command.params ?? {});
    return { type: "success", id: command.id, result, meta: await metaOf(deps, caller) };
  } catch (error) {
    return commandErrorOf(deps, command, error);
  }
}

function unknownCommand(method: string): CommandRefused {
  if (known.includes(method))
    return new CommandRefused(
      "not_supported",
      `${method} is not supported here: open POST /threads/:id/stream/events`,
    );
  return new CommandRefused("unknown_command", `Unknown protocol command: ${method}`);
}

export async function metaOf(
  { db }: HttpDeps,
  { threadId, principal }: Caller,
): Promise<CommandSuccess["meta"]> {
  const end = one(await protocol.tapeEnd(db, { threadId, tenant: principal.tenant })) ?? threadStart;
  return { thread_id: threadId, applied_through_seq: seqOf(end) };
}

/** The modes that such a run is said to have; what it streams is what the protocol has. */
const modes = ["values", "updates", "messages", "tools", "custom", "tasks"];

async function startRun(deps: HttpDeps, caller: Caller, params: unknown): Promise<Record<string, unknown>> {
  const { multitaskStrategy, input, ...asked } = parseInput(runStartParams, params);
  const forks =
    asked.config?.configurable !== undefined && "checkpoint_id" in Object(asked.config.configurable);
  // The protocol's input is also an answer: where a thread waits for one, and for nothing else.
  const answers = !forks && input !== undefined && input !== null && (await waits(deps, caller));
  const { run } = await accept(deps, caller, {
    ...asked,
    ...(answers ? { command: { resume: input } } : { input }),
    multitask_strategy: multitaskStrategy,
    if_not_exists: "create",
  });
  return { run_id: run.run_id };
}

async function respond(deps: HttpDeps, caller: Caller, params: unknown): Promise<Record<string, unknown>> {
  const { interrupt_id, response, responses, update, goto, ...asked } = parseInput(respondParams, params);
  const given = responses ?? [{ interrupt_id: interrupt_id ?? "", response }];
  const thread = await threadOf(deps, caller);
  const open = thread === undefined ? [] : await openQuestions(deps, thread);
  const asking = given.map(({ interrupt_id: id }) => {
    const question = open.find((candidate) => candidate.interrupt_id === id);
    if (question === undefined)
      throw new CommandRefused("no_such_interrupt", `the thread waits for no answer to interrupt ${id}`);
    return question;
  });
  const resume = Object.fromEntries(
    given.map(({ interrupt_id: id, response: value }) => [id, value ?? null]),
  );
  const from = await askingRun(deps, asking[0]);
  await accept(deps, caller, {
    ...asked,
    assistant_id: from?.assistant_id ?? thread?.graph_id,
    context: from?.kwargs.context,
    command: { resume, update, goto },
  });
  return {};
}

async function accept(deps: HttpDeps, caller: Caller, asked: Record<string, unknown>) {
  const body = parseInput(runBody, { ...asked, stream_mode: modes, stream_subgraphs: true });
  return acceptRun(deps, { ...caller, body: { ...body, stream_protocol: "v2" } });
}

async function askingRun({ db }: HttpDeps, question: EscalationRow | undefined) {
  if (question === undefined || question.run_id === null) return undefined;
  const { run_id: runId, tenant } = question;
  return one(await getRun(db, { runId, threadId: null, tenant }));
}

const threadOf = async (
  { db }: HttpDeps,
  { threadId, principal: { tenant } }: Caller,
): Promise<ThreadHead | undefined> => one(await getThreadHead(db, { threadId, tenant }));

async function openQuestions({ db }: HttpDeps, { thread_id }: ThreadHead): Promise<EscalationRow[]> {
  const asked = await escalationsOfThread(db, { threadId: thread_id });
  return asked.filter(({ status, compensation }) => status === "open" && !compensation);
}

async function waits(deps: HttpDeps, caller: Caller): Promise<boolean> {
  const thread = await threadOf(deps, caller);
  return thread?.status === "interrupted" && (await openQuestions(deps, thread)).length > 0;
}

async function getState(deps: HttpDeps, caller: Caller, params: unknown): Promise<Record<string, unknown>> {
  const { keys } = parseInput(stateParams, params);
  const thread = await threadOf(deps, caller);
  if (thread === undefined) throw noThread(caller);
  const { values, checkpoint } = await readState(deps, thread, { at: {}, subgraphs: false });
  const shown = Object.entries(Object(values)).filter(([key]) => keys == null || keys.includes(key));
  const id = checkpoint?.checkpoint_id;
  return {
    values: Object.fromEntries(shown),
    ...(checkpoint == null || id == null ? {} : { checkpoint: { id, ns: checkpoint.checkpoint_ns } }),
  };
}

async function getTree({ db }: HttpDeps, caller: Caller): Promise<Record<string, unknown>> {
  const name = { threadId: caller.threadId, tenant: caller.principal.tenant };
  const end = one(await protocol.tapeEnd(db, name));
  const run =
    end === undefined ? undefined : one(await protocol.runAtEpoch(db, { ...name, epoch: end.epoch }));
  const stands = run === undefined ? undefined : one(await protocol.runEnd(db, { runId: run.runId }));
  if (run === undefined || stands === undefined) throw noThread(caller);
  const subgraphs = await protocol.subgraphStates(db, { runId: run.runId, limit: subgraphsShownMax });
  const status = isTerminal(stands.status) ? terminal(stands).event : "running";
  return { tree: agentTree({ graphName: run.graphId, status, subgraphs }) };
}

const subgraphsShownMax = 1_000;

const noThread = ({ threadId }: Caller): CommandRefused =>
  new CommandRefused("no_such_run", `no run was started on thread ${threadId}`);
