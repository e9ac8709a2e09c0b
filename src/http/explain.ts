import { effectsOfThread, type ShownEffect } from "../db/queries/effect-reads.ts";
import { escalationsOfThread } from "../db/queries/escalations.ts";
import type { EscalationRow, RunRow, ThreadHead } from "../db/queries/rows.ts";
import { listAttempts, listRuns } from "../db/queries/runs.ts";
import { unclearStates } from "../domain/effect.ts";
import { NotFound } from "../domain/errors.ts";
import { isTerminal, wireStatus } from "../domain/run.ts";
import { readState, type ThreadState } from "../engine/state.ts";
import type { HttpDeps } from "./deps.ts";
import { pick } from "./present.ts";

const runsShown = 20;

/** Answers what one asks at night: what is it doing, which step failed, which tools ran, was it saved, may I retry? */
export async function explainThread(deps: HttpDeps, thread: ThreadHead): Promise<Record<string, unknown>> {
  const { db } = deps;
  const { thread_id: threadId, tenant } = thread;
  const runs = await listRuns(db, { threadId, tenant, statuses: null, limit: runsShown, offset: 0 });
  const current = runs.find((run) => run.status === "running" || run.status === "queued") ?? runs[0];
  const [effects, asked, state] = [
    await effectsOfThread(db, { threadId, tenant }),
    (await escalationsOfThread(db, { threadId })).filter((question) => question.status === "open"),
    await stateOf(deps, thread),
  ];
  const attempts = current === undefined ? [] : await listAttempts(db, { runId: current.run_id });
  return {
    thread_id: threadId,
    status: thread.status,
    doing: doing(thread, { current, asked, waiting: runs.filter((run) => run.status === "blocked").length }),
    run: current === undefined ? null : shownRun(current),
    failed_step: current === undefined ? null : failedStep(current, state),
    attempts,
    next: state?.next ?? [],
    tools: effects.map((effect) => pick(effect, toolFields)),
    open_questions: asked.map(({ escalation_id, interrupt_id, node, reasons }) => ({
      escalation_id,
      interrupt_id,
      node,
      reasons,
    })),
    saved: savedOf(current, state),
    safe_to_retry: retrySafety(current, effects),
  };
}

const toolFields = ["tool", "class", "state", "run_id", "task_id", "settled_at", "escalation_id"] as const;

/** The stored state; undefined when its graph is not served any more. */
async function stateOf(deps: HttpDeps, thread: ThreadHead): Promise<ThreadState | undefined> {
  try {
    return await readState(deps, thread, { at: {}, subgraphs: false });
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}

interface Situation {
  current: RunRow | undefined;
  asked: EscalationRow[];
  waiting: number;
}

function doing(thread: ThreadHead, { current, asked, waiting }: Situation): string {
  if (current === undefined) return "nothing: no run was ever started";
  const behind = waiting === 0 ? "" : `; ${waiting} more wait behind it`;
  if (current.kind === "compensation" && !isTerminal(current.status))
    return `compensating what run ${current.compensates} did: ${wireStatus(current.status)}, attempt ${current.attempt}${behind}`;
  if (current.status === "running") {
    const cancel = current.cancel_requested === null ? "" : ", asked to stop";
    return `running attempt ${current.attempt} on worker ${current.worker_id}${cancel}${behind}`;
  }
  if (current.status === "queued" && current.suspect)
    return `waiting to be run alone, in a process of its own: two workers have died under it${behind}`;
  if (current.status === "queued")
    return `waiting for a worker until ${current.available_at.toISOString()} or later${behind}`;
  if (asked.some(({ compensation }) => compensation))
    return `a compensation is stuck and waits for a human${behind}`;
  if (asked.length > 0)
    return `waiting for ${asked.length} human answer${asked.length === 1 ? "" : "s"}${behind}`;
  if (thread.status === "error") return `stopped: its last run ended in ${current.status}`;
  return thread.status === "interrupted" ? "stopped at a breakpoint" : "nothing: its last run has ended";
}

const runFields = [
  "run_id",
  "graph_id",
  "attempt",
  "failures",
  "crashes",
  "losses",
  "suspect",
  "worker_id",
  "lease_until",
  "available_at",
  "started_at",
  "finished_at",
  "error",
] as const;

const shownRun = (run: RunRow): Record<string, unknown> => ({
  ...pick(run, runFields),
  status: wireStatus(run.status),
});

/** The nodes that were due when the run failed: their step was not committed. */
function failedStep(run: RunRow, state: ThreadState | undefined): Record<string, unknown> | null {
  if (run.error === null) return null;
  const { step } = (state?.metadata ?? {}) as { step?: number };
  return { after_step: step ?? null, nodes: state?.next ?? [], error: run.error };
}

function savedOf(run: RunRow | undefined, state: ThreadState | undefined): Record<string, unknown> {
  const { checkpoint_id } = state?.checkpoint ?? {};
  return {
    result: run?.status === "success",
    last_checkpoint_id: checkpoint_id ?? null,
    last_checkpoint_at: state?.created_at ?? null,
  };
}

function retrySafety(run: RunRow | undefined, effects: ShownEffect[]): { safe: boolean; why: string } {
  if (run !== undefined && !isTerminal(run.status))
    return { safe: false, why: "a run is open: it retries by itself" };
  const unclear = effects.filter(({ state }) => unclearStates.some((known) => known === state));
  if (unclear.length === 0) {
    return { safe: true, why: "every tool call is settled: finished ones are not made again" };
  }
  const names = [...new Set(unclear.map(({ tool }) => tool))].join(", ");
  return { safe: false, why: `nobody knows whether ${names} took place: look there first` };
}
