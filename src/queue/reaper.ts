import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { lockThread } from "../db/queries/create.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as settling from "../db/queries/settle.ts";
import { one, type Queryable } from "../db/query.ts";
import type { Outcome } from "../domain/outcome.ts";
import type { RunError } from "../domain/run.ts";
import { settleInTransaction } from "./settle.ts";

/** Crashes of its worker that a run survives; the third ends it. */
export const crashesMax = 3;
const runsPerPassMax = 200;
const threadsPerPassMax = 200;

export interface ReapOptions {
  graceSeconds: number;
  ignoreRestart?: boolean;
  /** Called for a run that cannot be reaped, so that it does not stand in the way of the others. */
  onError?: (error: unknown) => undefined;
  /** Called for a run that ended here. */
  onDead?: (run: RunRow, error: RunError) => void;
}

const rethrow = (error: unknown): never => {
  throw error;
};

export interface Reaped {
  requeued: number;
  /** Ended by the crash budget. */
  buried: number;
  /** Ended because somebody had asked them to stop. */
  cancelled: number;
  promoted: number;
}

/**
 * One pass: runs whose lease ran out go back into the queue, or end when they have crashed too often; threads that
 * have due runs but no head get one. `graceSeconds` is how long holders may renew after Postgres itself came back.
 */
export async function reapOnce(
  { db, bus }: { db: Database; bus: Bus },
  { graceSeconds, ignoreRestart = false, onError = rethrow, onDead }: ReapOptions,
): Promise<Reaped> {
  const reaped: Reaped = { requeued: 0, buried: 0, cancelled: 0, promoted: 0 };
  const expired = await settling.expiredLeases(db, { ignoreRestart, graceSeconds, limit: runsPerPassMax });
  for (const { run, progressed } of expired) {
    const end = await db.transaction((tx) => reap(tx, run, progressed)).catch(onError);
    if (end === undefined) continue;
    if (end !== "renewed") reaped[end] += 1;
    if (end === "buried") onDead?.(run, crashed);
    bus.publish("run", run.run_id);
  }
  reaped.promoted = await promoteHeadless(db, { all: true });
  if (reaped.requeued + reaped.promoted > 0) bus.publish("queue", "*");
  return reaped;
}

async function reap(
  tx: Queryable,
  run: RunRow,
  progressed: boolean,
): Promise<"requeued" | "buried" | "cancelled" | "renewed"> {
  await lockThread(tx, { threadId: run.thread_id, tenant: run.tenant });
  const lease = { runId: run.run_id, epoch: run.epoch };
  if (one(await settling.isExpired(tx, lease)) === undefined) return "renewed";
  const outcome = burial(run, progressed);
  if (outcome !== null) {
    const finalEvents =
      outcome.kind === "dead"
        ? [
            {
              event: "error",
              data: JSON.stringify({ error: outcome.error.name, message: outcome.error.message }),
            },
          ]
        : [];
    await settleInTransaction(tx, { run, outcome, finalEvents });
    return outcome.kind === "dead" ? "buried" : "cancelled";
  }
  await settling.recordAttempt(tx, {
    ...lease,
    attempt: run.attempt,
    workerId: run.worker_id,
    outcome: "crashed",
    error: null,
    delayMs: null,
    startedAt: run.claimed_at,
  });
  const moved = await settling.requeueCrashed(tx, { ...lease, progressed });
  return moved.length === 1 ? "requeued" : "renewed";
}

/** Runs that must not go back into the queue: somebody asked them to stop, or they take their workers along. */
function burial(run: RunRow, progressed: boolean): Outcome | null {
  if (run.cancel_requested !== null) return { kind: "cancelled", action: run.cancel_requested };
  // A run that got on since its last crash is not what kills its workers.
  if ((progressed ? 0 : run.crashes) + 1 < crashesMax) return null;
  return { kind: "dead", status: "error", error: crashed };
}

const crashed: RunError = {
  code: "crash_budget",
  name: "WorkerCrashed",
  message: `the worker of this run died ${crashesMax} times while it ran`,
};

/** Gives a head to threads whose next run is due: `all` also finds promotions that were lost. */
export async function promoteHeadless(db: Database, { all }: { all: boolean }): Promise<number> {
  let promoted = 0;
  for (const { threadId, tenant } of await settling.headless(db, { all, limit: threadsPerPassMax })) {
    promoted += await db.transaction(async (tx) => {
      await lockThread(tx, { threadId, tenant });
      return (await settling.promoteNext(tx, { threadId })).length;
    });
  }
  return promoted;
}
