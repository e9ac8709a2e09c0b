import { reopenEscalations, supersedeOvertaken } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as runs from "../db/queries/runs.ts";
import { raiseEpoch } from "../db/queries/settle.ts";
import { one, type Queryable } from "../db/query.ts";
import type { CancelAction } from "../domain/run.ts";
import { startCompensation } from "./compensate.ts";
import { undo } from "./settle.ts";

/**
 * Ends a run that waits: `rollback` removes it with all that earlier attempts wrote, `interrupt` leaves it as
 * interrupted. The thread's lock is held, but a claim does not take that: the row is locked before anything is undone,
 * and a run that was claimed meanwhile is asked to stop instead. Returns the row as it is then.
 */
export async function endWaiting(tx: Queryable, run: RunRow, action: CancelAction): Promise<RunRow> {
  const { run_id: runId, thread_id: threadId } = run;
  const waiting = one(await runs.holdWaiting(tx, { runId }));
  if (waiting === undefined) return one(await runs.requestCancel(tx, { runId, action })) ?? run;
  await raiseEpoch(tx, { threadId, epoch: waiting.epoch });
  // Its answer was never used: the question is open again.
  if (waiting.resume !== null && !waiting.input_applied) await reopenEscalations(tx, { runId, threadId });
  const ended = await end(tx, waiting, action);
  // It waits for another attempt, perhaps: what its earlier ones did is undone.
  await startCompensation(tx, waiting);
  return ended;
}

async function end(tx: Queryable, waiting: RunRow, action: CancelAction): Promise<RunRow> {
  const { run_id: runId, thread_id: threadId } = waiting;
  if (action === "interrupt") {
    await supersedeOvertaken(tx, { runId, threadId });
    return one(await runs.cancelWaiting(tx, { runId })) ?? waiting;
  }
  await undo(tx, waiting);
  return one(await runs.removeRun(tx, { runId })) ?? waiting;
}
