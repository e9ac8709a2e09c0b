import * as checkpoints from "../db/queries/checkpoints.ts";
import { lockThread } from "../db/queries/create.ts";
import * as escalations from "../db/queries/escalations.ts";
import * as events from "../db/queries/events.ts";
import { sendParts } from "../db/queries/parts.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as settling from "../db/queries/settle.ts";
import { one, type Queryable } from "../db/query.ts";
import { LeaseLost } from "../domain/errors.ts";
import { fingerprintOf } from "../domain/fingerprint.ts";
import type { Outcome, Question } from "../domain/outcome.ts";
import type { ThreadParts } from "../domain/parts.ts";
import type { CancelAction } from "../domain/run.ts";
import { failpoint } from "../observe/failpoint.ts";
import {
  askHuman,
  compensationStuck,
  type Rest,
  restAfter,
  startCompensation,
  stuckAt,
} from "./compensate.ts";
import { escalationOf } from "./question.ts";
import type { StoredTexts } from "./stored-texts.ts";

export interface Settlement {
  run: RunRow;
  outcome: Outcome;
  /** Events that must not be seen before the outcome is stored: the questions, the error. */
  finalEvents: readonly { event: string; data: string }[];
  /** Of the run's thread; without it long texts are stored whole. */
  parts?: ThreadParts;
}

/**
 * Applies an outcome in the caller's transaction: the thread's lock first, in a statement of its own, then, with a fresh
 * snapshot, the run's guarded move, its attempt, its questions, and the next run's promotion.
 * Throws LeaseLost, having written nothing, when the run has another holder.
 */
export async function settleInTransaction(
  tx: Queryable,
  settlement: Settlement,
  stored: StoredTexts,
): Promise<void> {
  const { run } = settlement;
  const lease = { runId: run.run_id, epoch: run.epoch };
  const [threads, holders] = await Promise.all([
    lockThread(tx, { threadId: run.thread_id, tenant: run.tenant }),
    settling.holdRun(tx, lease),
  ]);
  const held = one(holders);
  if (one(threads) === undefined) throw new LeaseLost(`thread ${run.thread_id} is gone`);
  if (held === undefined) throw new LeaseLost(`run ${run.run_id} has another holder than epoch ${run.epoch}`);
  const outcome =
    run.kind === "compensation"
      ? await endOfCompensation(tx, run, settlement.outcome)
      : obeyed(settlement.outcome, held.cancel_requested);
  if (outcome.kind === "cancelled" && outcome.action === "rollback") await undo(tx, run);
  // Cancelled or dead before its answer was written: the question is open again.
  const unused = held.resume !== null && !held.input_applied && isTerminalOutcome(outcome);
  const rest = await restOf(tx, run, outcome);
  await end(tx, { run, outcome, stored, reopens: unused, rest });
  await failpoint("settle.before_commit");
}

interface Ending {
  run: RunRow;
  outcome: Outcome;
  stored: StoredTexts;
  /** The question it was to answer is open again. */
  reopens: boolean;
  rest: Rest;
}

/** One after the other, in one round trip: none needs to know what those before it have found. */
async function end(tx: Queryable, ending: Ending): Promise<void> {
  const { run, outcome, stored, reopens } = ending;
  const place = { runId: run.run_id, threadId: run.thread_id };
  const leavesNothing = outcome.kind === "cancelled" && outcome.action === "rollback";
  const sent: Promise<unknown>[] = [];
  if (!leavesNothing) sent.push(sendParts(tx, run.thread_id, stored.parts));
  sent.push(move(tx, ending));
  if (reopens) sent.push(escalations.reopenEscalations(tx, place));
  if (!leavesNothing) sent.push(...record(tx, ending));
  sent.push(showOnThread(tx, ending));
  if (isTerminalOutcome(outcome)) sent.push(startCompensation(tx, run));
  sent.push(settling.promoteNext(tx, { threadId: run.thread_id }));
  await Promise.all(sent);
}

/** What was asked while the outcome was on its way: a rollback always wins, an interrupt over another attempt. */
function obeyed(outcome: Outcome, asked: CancelAction | null): Outcome {
  if (asked === "rollback") return { kind: "cancelled", action: "rollback" };
  const again = outcome.kind === "retry" || outcome.kind === "released";
  return asked === "interrupt" && again ? { kind: "cancelled", action: "interrupt" } : outcome;
}

/** A dead compensation is stuck at an effect, and asks; one that died with nothing left to undo has done its work. */
async function endOfCompensation(tx: Queryable, run: RunRow, outcome: Outcome): Promise<Outcome> {
  if (outcome.kind !== "dead") return outcome;
  if ((await stuckAt(tx, run)) === undefined) return { kind: "compensated" };
  return { ...outcome, status: "error", error: { ...outcome.error, code: compensationStuck } };
}

const isTerminalOutcome = ({ kind }: Outcome): boolean => kind === "cancelled" || kind === "dead";

function move(tx: Queryable, { run, outcome, stored }: Ending): Promise<RunRow[]> {
  const lease = { runId: run.run_id, epoch: run.epoch };
  const nothing = { output: null, error: null, fingerprint: null };
  switch (outcome.kind) {
    case "success":
      return settling.finishRun(tx, {
        ...lease,
        ...nothing,
        status: "success",
        output: stored.values,
      });
    case "retry":
      return settling.retryRun(tx, { ...lease, ...outcome });
    case "dead":
      return settling.finishRun(tx, {
        ...lease,
        ...nothing,
        status: outcome.status,
        error: outcome.error,
        fingerprint: fingerprintOf(outcome.error),
      });
    case "cancelled":
      if (outcome.action === "rollback") return settling.deleteRun(tx, lease);
      return settling.finishRun(tx, { ...lease, ...nothing, status: "interrupted" });
    case "released":
      return settling.releaseRun(tx, lease);
    case "compensated":
      return settling.finishRun(tx, {
        ...lease,
        ...nothing,
        status: "success",
        output: JSON.stringify({ compensates: run.compensates }),
      });
  }
}

/** A rolled-back run leaves nothing: its rows go, what it replaced and the question it answered come back. */
export async function undo(tx: Queryable, run: RunRow): Promise<void> {
  await checkpoints.rollbackCheckpoints(tx, { runId: run.run_id, threadId: run.thread_id });
  await checkpoints.restoreReplacedWrites(tx, { runId: run.run_id });
  await escalations.reopenEscalations(tx, { runId: run.run_id, threadId: run.thread_id });
}

function record(tx: Queryable, { run, outcome, stored }: Ending): Promise<unknown>[] {
  // An error that was on its way, of a compensation that has in truth done its work, is not told.
  const finalEvents = outcome.kind === "compensated" ? [] : stored.finalEvents;
  const sent: Promise<unknown>[] = [
    settling.recordAttempt(tx, {
      runId: run.run_id,
      epoch: run.epoch,
      attempt: run.attempt,
      workerId: run.worker_id,
      outcome: outcome.kind,
      error: "error" in outcome ? outcome.error : null,
      delayMs: outcome.kind === "retry" ? outcome.delayMs : null,
      startedAt: run.claimed_at,
    }),
  ];
  if (finalEvents.length > 0)
    sent.push(events.appendEvents(tx, { runId: run.run_id, attempt: run.attempt, events: finalEvents }));
  if (run.kind === "compensation" && outcome.kind === "dead") sent.push(askHuman(tx, run, outcome.error));
  if (outcome.kind === "success") sent.push(ask(tx, run, outcome.questions));
  if (isTerminalOutcome(outcome))
    sent.push(escalations.supersedeOvertaken(tx, { runId: run.run_id, threadId: run.thread_id }));
  return sent;
}

/** The questions a run has stopped at; those of the thread that it did not ask again are out of date. */
async function ask(tx: Queryable, run: RunRow, questions: readonly Question[]): Promise<void> {
  const asked: string[] = [];
  for (const question of questions) {
    const row = one(await escalations.insertEscalation(tx, escalationOf(run, question)));
    if (row !== undefined) asked.push(row.escalation_id);
  }
  await escalations.supersedeEscalations(tx, { threadId: run.thread_id, keep: asked });
}

function showOnThread(tx: Queryable, { run, outcome, stored, rest }: Ending): Promise<unknown> {
  const shows = "view" in outcome && outcome.view !== undefined;
  const open = outcome.kind === "retry" || outcome.kind === "released";
  return settling.settleThread(tx, {
    threadId: run.thread_id,
    epoch: run.epoch,
    values: shows ? stored.values : null,
    interrupts: shows ? stored.interrupts : null,
    error: rest.error,
    graphVersion:
      outcome.kind === "success" ? (outcome.view.parked ? outcome.graphVersion : null) : undefined,
    status: open ? "busy" : rest.status,
  });
}

/** What the thread shows once no run of it is open. */
async function restOf(tx: Queryable, run: RunRow, outcome: Outcome): Promise<Rest> {
  if (outcome.kind === "dead") return { status: "error", error: outcome.error.message };
  if (run.kind === "compensation") return restAfter(tx, run);
  const view = "view" in outcome ? outcome.view : undefined;
  return { status: view === undefined ? null : view.parked ? "interrupted" : "idle", error: null };
}
