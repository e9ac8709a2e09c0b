import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import * as checkpoints from "../db/queries/checkpoints.ts";
import { lockThread, openRuns } from "../db/queries/create.ts";
import { reopenEscalations, supersedeOvertaken } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as runs from "../db/queries/runs.ts";
import { promoteNext, settleThread } from "../db/queries/settle.ts";
import * as threads from "../db/queries/threads.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict, NotFound } from "../domain/errors.ts";
import { type CancelAction, isTerminal } from "../domain/run.ts";
import { endWaiting } from "./end-waiting.ts";

interface RunName {
  tenant: string;
  threadId: string;
  runId: string;
}

/**
 * Stops a run. A waiting one ends now; a running one is asked, and its worker settles it. A finished one stays as
 * it is. Throws NotFound, and Conflict for a compensation: half undone is worse than either end.
 */
export async function cancelRun(
  { db, bus }: { db: Database; bus: Bus },
  { tenant, threadId, runId, action }: RunName & { action: CancelAction },
): Promise<RunRow> {
  const run = await db.transaction(async (tx) => {
    const found = await lockedRun(tx, { tenant, threadId, runId });
    if (isTerminal(found.status)) return found;
    if (found.kind === "compensation") throw uncuttable(found, "cancelled");
    if (found.status === "running") return one(await runs.requestCancel(tx, { runId, action })) ?? found;
    const ended = await endWaiting(tx, found, action);
    await rest(tx, threadId, found.epoch);
    return ended;
  });
  bus.publish("cancel", runId);
  bus.publish("run", runId);
  bus.publish("queue", threadId);
  return run;
}

/**
 * Deletes one run, whatever it does. A holder finds its lease gone and writes nothing more. Throws NotFound, and
 * Conflict for a compensation that has not finished.
 */
export async function deleteRun({ db, bus }: { db: Database; bus: Bus }, name: RunName): Promise<void> {
  await db.transaction(async (tx) => {
    const run = await lockedRun(tx, name);
    if (run.kind === "compensation" && run.status !== "success") throw uncuttable(run, "deleted");
    // A resume that has not used its answer gives its question back; what a run did stays, as the state shows it.
    if (run.resume !== null && !run.input_applied) {
      await reopenEscalations(tx, { runId: name.runId, threadId: name.threadId });
    }
    if (!isTerminal(run.status)) await supersedeOvertaken(tx, name);
    await runs.removeRunningToo(tx, { runId: name.runId });
    if (!isTerminal(run.status)) await rest(tx, name.threadId, run.epoch);
  });
  bus.publish("cancel", name.runId);
  bus.publish("run", name.runId);
  bus.publish("queue", name.threadId);
}

/**
 * Deletes a thread with its runs and checkpoints; late writes of a run under way find no lease. Throws NotFound, and
 * Conflict while a compensation is open: nobody would ever undo the rest.
 */
export async function deleteThread(
  { db, bus }: { db: Database; bus: Bus },
  { tenant, threadId }: { tenant: string; threadId: string },
): Promise<void> {
  await db.transaction(async (tx) => {
    if (one(await lockThread(tx, { threadId, tenant })) === undefined) {
      throw new NotFound(`Thread with ID ${threadId} not found`);
    }
    const open = (await openRuns(tx, { threadId })).find(({ kind }) => kind === "compensation");
    if (open !== undefined) throw uncuttable(open, "cut by deleting its thread");
    await removeThread(tx, { threadId, tenant });
  });
  bus.publish("cancel", "*");
  bus.publish("run", "*");
}

/** The rows of a thread; the caller holds its lock. */
export async function removeThread(
  tx: Queryable,
  { tenant, threadId }: { tenant: string; threadId: string },
): Promise<void> {
  // A holder keeps its run's row while it writes what refers to the thread, or waits for an effect: were the thread or
  // an effect deleted before the run, the two would wait for each other.
  await threads.lockRuns(tx, { threadId });
  await threads.deleteThread(tx, { threadId, tenant });
  await checkpoints.deleteCheckpoints(tx, { threadId });
}

const uncuttable = (run: RunRow, what: string): Conflict =>
  new Conflict(`run ${run.run_id} is a compensation, it cannot be ${what}: its thread waits for it`);

async function lockedRun(tx: Queryable, { tenant, threadId, runId }: RunName): Promise<RunRow> {
  await lockThread(tx, { threadId, tenant });
  const run = one(await runs.getRun(tx, { runId, threadId, tenant }));
  if (run === undefined) throw new NotFound("Run not found");
  return run;
}

async function rest(tx: Queryable, threadId: string, epoch: number): Promise<void> {
  const unchanged = { values: null, interrupts: null, error: null, graphVersion: undefined };
  const open = await openRuns(tx, { threadId });
  const busy = open.some((run) => run.status !== "blocked");
  await settleThread(tx, { threadId, epoch, ...unchanged, status: busy ? "busy" : null });
  await promoteNext(tx, { threadId });
}
