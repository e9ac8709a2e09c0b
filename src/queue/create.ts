// Accepts runs. This room moves run rows between statuses and is the only one that does; it runs no graph and
// knows no HTTP. Read next: settle.ts, then src/db/queries/claim.ts.
import { createHash } from "node:crypto";
import type { Database } from "../db/pool.ts";
import * as create from "../db/queries/create.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as runs from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { passes } from "../domain/access.ts";
import { Conflict, InvalidInput, NotFound, ThreadBusy } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import type { MultitaskStrategy, ResumeAnswer } from "../domain/run.ts";
import { failpoint } from "../observe/failpoint.ts";
import { bindResume } from "./bind.ts";
import { endWaiting } from "./end-waiting.ts";
import { refuseUnaskedRepeats } from "./fork.ts";
import type { CreateRun } from "./request.ts";

export interface Accepted {
  run: RunRow;
  /** True when the same Idempotency-Key had already made this run. */
  replayed: boolean;
}

/**
 * One transaction: after its commit the run will be done, whatever dies.
 * Throws NotFound (thread), ThreadBusy (strategy reject), Conflict (a resume that no open question waits for, or a
 * fork that would leave effects behind),
 * InvalidInput (an Idempotency-Key used before with another request).
 */
export async function createRun(db: Database, request: CreateRun): Promise<Accepted> {
  const accepted = await db.transaction((tx) => createInTransaction(tx, request));
  await failpoint("run.accepted");
  return accepted;
}

/** For callers that hold a transaction already. Locks the thread. */
export async function createInTransaction(tx: Queryable, request: CreateRun): Promise<Accepted> {
  const runId = newId();
  const earlier = await replayOf(tx, request, runId);
  if (earlier !== undefined) return { run: earlier, replayed: true };
  const { open, isNew } = await lockedThread(tx, request);
  const resume = await bindResume(tx, { request, runId, open });
  if (resume === null && !isNew) await refuseUnaskedRepeats(tx, request, open);
  if (resume === null) await makeRoom(tx, request.multitaskStrategy, open);
  const run = await insert(tx, { request, runId, resume });
  await failpoint("run.before_commit");
  return { run, replayed: false };
}

async function replayOf(tx: Queryable, request: CreateRun, runId: string): Promise<RunRow | undefined> {
  const { idempotencyKey: key, tenant } = request;
  if (key === null) return undefined;
  const digest = digestOf(request);
  const taken = one(await create.takeIdempotencyKey(tx, { tenant, key, digest, runId }));
  if (taken !== undefined) return undefined;
  const earlier = one(await create.readIdempotencyKey(tx, { tenant, key }));
  if (earlier === undefined)
    throw new Conflict(`Idempotency-Key ${key} has just expired, send the request again`);
  if (earlier.digest !== digest) {
    throw new InvalidInput("this Idempotency-Key was used with another request", {
      field: "Idempotency-Key",
    });
  }
  const run = one(await runs.getRun(tx, { runId: earlier.runId, threadId: null, tenant }));
  if (run === undefined) throw new Conflict(`the run of Idempotency-Key ${key} has been deleted`);
  return run;
}

function digestOf(request: CreateRun): string {
  const { threadId, temporary, assistantId, kwargs, metadata, multitaskStrategy, afterSeconds } = request;
  // A stateless run gets a new thread id each time, so that id cannot be part of what must be equal.
  const thread = temporary ? null : threadId;
  const asked = request.sent ?? { thread, assistantId, kwargs, metadata, multitaskStrategy, afterSeconds };
  return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}

/** The lock is a statement of its own: the one behind it sees the runs that were committed while it was waited for. */
async function lockedThread(
  tx: Queryable,
  { threadId, tenant, access = null, ...request }: CreateRun,
): Promise<{ open: RunRow[]; isNew: boolean }> {
  const { createThread, threadKey: key, threadMetadata: metadata = {} } = request;
  const ttl = request.temporary ? null : (request.threadTtl ?? null);
  const made = createThread ? create.insertThread(tx, { threadId, tenant, metadata, key, ttl }) : [];
  const [inserted, locked, open] = await Promise.all([
    made,
    create.lockThread(tx, { threadId, tenant }),
    create.openRuns(tx, { threadId }),
  ]);
  const [isNew, found] = [inserted.length > 0, one(locked)];
  // Whoever makes a thread may use it; somebody else may have made one of that id a moment before.
  if (found !== undefined && (isNew || passes(found.metadata, access))) return { open, isNew };
  throw new NotFound(`Thread with ID ${threadId} not found`);
}

/** What happens to the thread's other open runs. */
async function makeRoom(tx: Queryable, strategy: MultitaskStrategy, open: RunRow[]): Promise<void> {
  if (open.length === 0 || strategy === "enqueue") return;
  if (strategy === "reject") {
    throw new ThreadBusy(
      "Thread is already running a task. Wait for it to finish or choose a different multitask strategy.",
    );
  }
  for (const run of open) {
    // A compensation is not cut: the new run waits for it, whatever its strategy.
    if (run.kind === "compensation") continue;
    if (run.status === "running") await runs.requestCancel(tx, { runId: run.run_id, action: strategy });
    else await endWaiting(tx, run, strategy);
  }
}

/** The run, and on its thread that it works. */
async function insert(
  tx: Queryable,
  { request, runId, resume }: { request: CreateRun; runId: string; resume: ResumeAnswer[] | null },
): Promise<RunRow> {
  const { threadId, graphId, assistantId, threadConfig: config } = request;
  const [inserted] = await Promise.all([
    create.insertRun(tx, { ...request, runId, resume }),
    create.markThreadBusy(tx, { threadId, graphId, assistantId, config }),
  ]);
  const run = one(inserted);
  if (run === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  return run;
}
