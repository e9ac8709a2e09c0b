import { Command, Send } from "@langchain/langgraph";
import { RESUME } from "@langchain/langgraph-checkpoint";
import type { FencedSaver } from "../checkpoint/saver.ts";
import type { Database } from "../db/pool.ts";
import { hasOwnCheckpoint } from "../db/queries/checkpoint-reads.ts";
import { applyInput, type WriteRow } from "../db/queries/checkpoint-writes.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { Fatal, LeaseLost } from "../domain/errors.ts";
import { isFirstClaim, type ResumeAnswer, type RunCommand } from "../domain/run.ts";
import { failpoint } from "../observe/failpoint.ts";
import type { Graph } from "./registry.ts";
import { allTasks } from "./view.ts";

/** LangGraph's id for writes that belong to no task, and the prefix of its edges' channels. */
const nullTaskId = "00000000-0000-0000-0000-000000000000";

/** The answers travel without events. */
const noBatch = { firstSeq: 0, attempt: 0, events: [], parts: [] };

export interface PreparedInput {
  input: unknown;
  /** The checkpoint to fork from, only until this run has one of its own. */
  fork: Record<string, unknown>;
  /** True when this run had already stopped at a breakpoint and only its end was lost. */
  alreadyStopped: boolean;
}

interface Deps {
  db: Database;
  graph: Graph;
  saver: FencedSaver;
  /** Both repeat a statement while the database is away; a write that changes no row was refused by the fence. */
  write: <T>(statement: () => Promise<T>) => Promise<T>;
  read: <T>(statement: () => Promise<T>) => Promise<T>;
}

/**
 * A run's input is applied once, however often the run is attempted: plain input only while the run has no
 * checkpoint of its own; answers by one fenced statement, after which the graph is always invoked with null.
 */
export async function prepareInput(deps: Deps, run: RunRow): Promise<PreparedInput> {
  const nothing = { input: null, fork: {}, alreadyStopped: false };
  const place = { runId: run.run_id, threadId: run.thread_id };
  if (!isFirstClaim(run) && one(await deps.read(() => hasOwnCheckpoint(deps.db, place))) !== undefined) {
    return { ...nothing, alreadyStopped: await stoppedAtBreakpoint(deps.graph, run) };
  }
  if (run.resume !== null) {
    if (!run.input_applied) await applyAnswers(deps, run, run.resume);
    return nothing;
  }
  const { kwargs } = run;
  const fork = { ...kwargs.checkpoint };
  const { command } = kwargs;
  if (command !== undefined) return { input: new Command(commandOf(command)), fork, alreadyStopped: false };
  return { input: kwargs.input ?? null, fork, alreadyStopped: false };
}

/** What a caller sent as a command, for LangGraph. */
export function commandOf({ update, goto }: RunCommand): {
  update?: Record<string, unknown>;
  goto?: (string | Send)[];
} {
  const command: { update?: Record<string, unknown>; goto?: (string | Send)[] } = {};
  if (update !== undefined && update !== null) command.update = update as Record<string, unknown>;
  if (goto !== undefined && goto !== null) command.goto = targetsOf(goto);
  return command;
}

function targetsOf(goto: unknown): (string | Send)[] {
  const targets = Array.isArray(goto) ? goto : [goto];
  return targets.map((target) => {
    if (typeof target === "string") return target;
    const { node, input, args } = target as { node: string; input?: unknown; args?: unknown };
    return new Send(node, input ?? args);
  });
}

/** `[taskId, __resume__, [every answer so far]]` on the checkpoint that asked, with the mark, in one statement. */
async function applyAnswers({ db, saver, write }: Deps, run: RunRow, answers: ResumeAnswer[]): Promise<void> {
  const rows = await Promise.all(
    answers.map(({ taskId, checkpointNs: ns, checkpointId, answers: values }) =>
      saver.dumpWrite([RESUME, values], 0, { ns, checkpointId, taskId }),
    ),
  );
  const extra = await extraWrites(saver, run);
  await failpoint("resume.before_commit");
  const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
  const applied = await write(() =>
    applyInput(db, { ...lease, writes: [...rows, ...extra], replace: true, batch: noBatch }),
  );
  if (applied.length === 0) throw new LeaseLost("the answers were refused: the lease has moved on");
  await failpoint("resume.begun");
}

/** `update` and `goto` of a resume travel in its statement, as writes of no task on the thread's latest checkpoint. */
async function extraWrites(saver: FencedSaver, run: RunRow): Promise<WriteRow[]> {
  const { command } = run.kwargs;
  if (command === undefined) return [];
  const { update, goto } = commandOf(command);
  const writes: [string, unknown][] = (goto ?? []).map((target) =>
    typeof target === "string" ? [`branch:to:${target}`, "__start__"] : ["__pregel_tasks", target],
  );
  writes.push(...Object.entries(update ?? {}));
  if (writes.length === 0) return [];
  const latest = await saver.getTuple({ configurable: { thread_id: run.thread_id, checkpoint_ns: "" } });
  if (latest === undefined)
    throw new Fatal("the thread has no checkpoint to resume from", { code: "nothing_to_resume" });
  const checkpointId = String(latest.config.configurable?.checkpoint_id);
  const target = { ns: "", checkpointId, taskId: nullTaskId };
  return Promise.all(writes.map((pending, n) => saver.dumpWrite(pending, n, target)));
}

/** A breakpoint is passed by invoking once more, so a repeated attempt must not invoke when it already stands at one. */
async function stoppedAtBreakpoint(graph: Graph, run: RunRow): Promise<boolean> {
  const before = run.kwargs.interrupt_before ?? graph.interruptBefore ?? [];
  const after = run.kwargs.interrupt_after ?? graph.interruptAfter ?? [];
  if (before.length === 0 && after.length === 0) return false;
  const config = { configurable: { thread_id: run.thread_id } };
  const latest = await graph.getState(config);
  if (latest.next.length === 0 || latest.metadata?.source !== "loop") return false;
  if (hits(before, latest.next)) return latest.tasks.every((task) => task.interrupts.length === 0);
  const parent = latest.parentConfig === undefined ? undefined : await graph.getState(latest.parentConfig);
  return (
    parent !== undefined &&
    hits(
      after,
      allTasks(parent).map((task) => String(task.name)),
    )
  );
}

function hits(breakpoints: "*" | readonly string[], nodes: readonly string[]): boolean {
  const visible = nodes.filter((node) => node !== "__start__");
  return breakpoints === "*" ? visible.length > 0 : visible.some((node) => breakpoints.includes(node));
}
