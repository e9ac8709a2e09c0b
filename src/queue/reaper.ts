import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { lockThread } from "../db/queries/create.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as settling from "../db/queries/settle.ts";
import { one, type Queryable } from "../db/query.ts";
import type { RunError } from "../domain/run.ts";
import { type CrashEnd, recordCrash, recordLoss } from "./crash.ts";

const runsPerPassMax = 200;
const threadsPerPassMax = 200;

export interface ReapOptions {
  graceSeconds: number;
  ignoreRestart?: boolean;
  /** Whether suspects can be run alone here. Where they cannot, a lost lease is charged as a crash. */
  isolates?: boolean;
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
 * One pass: runs whose lease ran out go back into the queue, or end when that happened too often; threads that
 * have due runs but no head get one. `graceSeconds` is how long holders may renew after Postgres itself came back.
 */
export async function reapOnce(
  { db, bus }: { db: Database; bus: Bus },
  { graceSeconds, ignoreRestart = false, isolates = false, onError = rethrow, onDead }: ReapOptions,
): Promise<Reaped> {
  const reaped: Reaped = { requeued: 0, buried: 0, cancelled: 0, promoted: 0 };
  const expired = await settling.expiredLeases(db, { ignoreRestart, graceSeconds, limit: runsPerPassMax });
  for (const { run, progressed } of expired) {
    const end = await db.transaction((tx) => reap(tx, run, { progressed, isolates })).catch(onError);
    if (end === undefined) continue;
    if (end.kind !== "renewed") reaped[end.kind] += 1;
    if (end.kind === "buried") onDead?.(run, end.error);
    bus.publish("run", run.run_id);
  }
  reaped.promoted = await promoteHeadless(db, { all: true });
  if (reaped.requeued + reaped.promoted > 0) bus.publish("queue", "*");
  return reaped;
}

async function reap(
  tx: Queryable,
  found: RunRow,
  { progressed, isolates }: { progressed: boolean; isolates: boolean },
): Promise<CrashEnd | { kind: "renewed" }> {
  await lockThread(tx, { threadId: found.thread_id, tenant: found.tenant });
  const run = one(await settling.holdExpired(tx, { runId: found.run_id, epoch: found.epoch }));
  if (run === undefined) return { kind: "renewed" };
  if (isolates) return recordLoss(tx, { run, progressed });
  const error = { code: "worker_crashed", name: "WorkerCrashed", message: "its worker died while it ran" };
  return recordCrash(tx, { run, progressed, alone: false, error });
}

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
