import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { lockThread, openRuns } from "../db/queries/create.ts";
import { pruneParts } from "../db/queries/parts.ts";
import * as prune from "../db/queries/thread-prune.ts";
import { one, type Queryable } from "../db/query.ts";
import type { ThreadTtl } from "../domain/lifetimes.ts";
import { removeThread } from "./cancel.ts";

interface Deps {
  db: Database;
  bus: Bus;
}

interface ThreadName {
  threadId: string;
  tenant: string;
}

/**
 * Deletes threads, or all but their latest state; each in a transaction of its own. Returns how many. Threads that are
 * unknown or have open runs are left alone; with `keep_latest` so are those with a dead letter that nobody has handled,
 * for its redrive may start at an older checkpoint.
 */
export async function pruneThreads(
  { db, bus }: Deps,
  { threadIds, tenant, strategy }: { threadIds: string[]; tenant: string; strategy: ThreadTtl["strategy"] },
): Promise<number> {
  let pruned = 0;
  // One order for all who lock several threads is not needed: each transaction holds one.
  for (const threadId of new Set(threadIds)) {
    const done = await db.transaction((tx) => prunes[strategy](tx, { threadId, tenant }));
    if (done) pruned += 1;
  }
  if (pruned > 0) bus.publish("run", "*");
  return pruned;
}

/** For one that cannot be removed, so that it does not stand in the way of the others. */
type OnError = (error: unknown) => false;

/** Threads past their time to live, a limited number at a time, as their strategy says. Never one with an open run. */
export async function sweepThreads(
  deps: Deps,
  { limit, onError }: { limit: number; onError: OnError },
): Promise<number> {
  const expired = await prune.expiredThreads(deps.db, { limit });
  return sweep(deps, expired, onError, async (tx, { strategy, ...name }) => {
    const due = strategy === "delete" ? prune.stillExpired : prune.markPruned;
    if (one(await due(tx, name)) === undefined) return false;
    return prunes[strategy](tx, name);
  });
}

/** Threads of stateless runs that ended that long ago, a limited number at a time. */
export async function sweepTemporary(
  deps: Deps,
  { limit, olderThanSeconds, onError }: { limit: number; olderThanSeconds: number; onError: OnError },
): Promise<number> {
  const expired = await prune.expiredTemporary(deps.db, { olderThanSeconds, limit });
  return sweep(deps, expired, onError, async (tx, name) => {
    if (one(await prune.stillExpiredTemporary(tx, { ...name, olderThanSeconds })) === undefined) return false;
    await removeThread(tx, name);
    return true;
  });
}

/** `take` looks again, under the thread's lock: a run may have come since, also a redrive or an answer. */
async function sweep<Name extends ThreadName>(
  { db, bus }: Deps,
  expired: readonly Name[],
  onError: OnError,
  take: (tx: Queryable, thread: Name) => Promise<boolean>,
): Promise<number> {
  let swept = 0;
  for (const thread of expired) {
    const taking = db.transaction(async (tx) => {
      if (one(await lockThread(tx, thread)) === undefined) return false;
      return take(tx, thread);
    });
    if (await taking.catch(onError)) swept += 1;
  }
  if (swept > 0) bus.publish("run", "*");
  return swept;
}

async function idle(tx: Queryable, name: ThreadName): Promise<boolean> {
  if (one(await lockThread(tx, name)) === undefined) return false;
  return (await openRuns(tx, name)).length === 0;
}

async function deleteIdle(tx: Queryable, name: ThreadName): Promise<boolean> {
  if (!(await idle(tx, name))) return false;
  await removeThread(tx, name);
  return true;
}

async function keepLatest(tx: Queryable, name: ThreadName): Promise<boolean> {
  if (!(await idle(tx, name))) return false;
  if (one(await prune.hasDeadLetter(tx, name)) !== undefined) return false;
  await prune.keepLatest(tx, name);
  await pruneParts(tx, name);
  return true;
}

const prunes = { delete: deleteIdle, keep_latest: keepLatest };
