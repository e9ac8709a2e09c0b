import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { lockThread } from "../db/queries/create.ts";
import {
  type DeadLetterFilter,
  discardDeadLetters,
  listDeadLetters,
  oldestDeadLetters,
} from "../db/queries/dead-letters.ts";
import { reopenEscalations } from "../db/queries/escalations.ts";
import { forgetAnswers } from "../db/queries/model-calls.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { getRun } from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict, InvalidInput, NotFound } from "../domain/errors.ts";
import type { RunKwargs } from "../domain/run.ts";
import { createInTransaction } from "./create.ts";
import { planRedrive, type RedriveChoice } from "./redrive-plan.ts";

export interface Redrive extends RedriveChoice {
  tenant: string;
  runId: string;
  principal: string;
  /** Seconds until it may start. */
  afterSeconds: number;
  /** Says what would be done, and does nothing. */
  dryRun: boolean;
}

/** What a redrive comes to: the run that was made, or, of a dry run, the one that would be. */
export interface Redriven {
  run: RunRow | null;
  threadId: string;
  kwargs: RunKwargs;
  /** It needs the thread as the dead run left it. */
  continues: boolean;
}

/**
 * Starts a new run that does what a dead one did not finish. Throws NotFound, InvalidInput for an input that cannot be
 * edited, and Conflict when it is no dead letter, was discarded or redriven before, when its thread has moved on, when
 * its effects were undone, or when effects would be done again that nobody allowed.
 */
export async function redriveRun(
  { db, bus }: { db: Database; bus: Bus },
  redrive: Redrive,
): Promise<Redriven> {
  if (redrive.dryRun) {
    const { request, continues } = await planRedrive(db, await deadLetter(db, redrive), redrive);
    return { run: null, threadId: request.threadId, kwargs: request.kwargs, continues };
  }
  const made = await db.transaction(async (tx) => {
    const named = await deadLetter(tx, redrive);
    await lockThread(tx, { threadId: named.thread_id, tenant: named.tenant });
    // Two clicks wait for each other at the lock; the second sees the first one's run.
    const dead = await deadLetter(tx, redrive);
    const { request, continues, answersAgain } = await planRedrive(tx, dead, redrive);
    // A resume that died before its answer was written: the question opens again, and the same answer takes it.
    if (answersAgain) await reopenEscalations(tx, { runId: dead.run_id, threadId: dead.thread_id });
    // The journal would give the answer again that the run died of.
    if (dead.error?.code === badAnswer) await forgetAnswers(tx, { runId: dead.run_id });
    const { run } = await createInTransaction(tx, request);
    return { run, threadId: run.thread_id, kwargs: run.kwargs, continues };
  });
  bus.publish("queue", made.threadId);
  return made;
}

const badAnswer = "bad_answer";

async function deadLetter(
  db: Queryable,
  { runId, tenant }: Pick<Redrive, "runId" | "tenant">,
): Promise<RunRow> {
  const dead = one(await getRun(db, { runId, threadId: null, tenant }));
  if (dead === undefined) throw new NotFound("Run not found");
  return dead;
}

/** Runs of one request; a larger group takes several. */
export const redrivesPerRequestMax = 500;

export interface RedriveMany extends RedriveChoice {
  tenant: string;
  principal: string;
  which: DeadLetterFilter;
  limit: number;
  /** Starts per second; null starts all at once. */
  ratePerSecond: number | null;
  dryRun: boolean;
}

export interface RedriveResult {
  run_id: string;
  redriven: boolean;
  /** The new run; null of a dry run. */
  redrive_run_id: string | null;
  available_at: Date | null;
  /** Why it was not redriven. */
  reason: string | null;
}

/**
 * Redrives those that are meant, oldest first or in the order they are named, each in a transaction of its own. At a rate each one gets a later due time
 * than the one before it: the queue keeps the pace, and nobody has to stay. Later runs of their threads wait behind them.
 */
export async function redriveMany(
  deps: { db: Database; bus: Bus },
  { which, limit, ratePerSecond, ...redrive }: RedriveMany,
): Promise<RedriveResult[]> {
  const results: RedriveResult[] = [];
  const threads = new Set<string>();
  // Named ones are tried whatever became of them, so that each gets its answer.
  const named = which.runIds === null ? undefined : [...new Set(which.runIds)];
  const hidden = await hiddenOf(deps.db, which);
  for (const runId of named ?? (await oldestDeadLetters(deps.db, { ...which, limit }))) {
    if (hidden.has(runId)) {
      results.push(refused(runId, "Run not found"));
      continue;
    }
    const before = results.filter((result) => result.redriven).length;
    const afterSeconds = ratePerSecond === null ? 0 : before / ratePerSecond;
    results.push(await tried(deps, { ...redrive, runId, afterSeconds }, threads));
  }
  return results;
}

async function tried(
  deps: { db: Database; bus: Bus },
  redrive: Redrive,
  threads: Set<string>,
): Promise<RedriveResult> {
  const { runId } = redrive;
  try {
    const { run, threadId, continues } = await redriveRun(deps, redrive);
    // A dry run has left no run behind that the next one of its thread could meet.
    if (redrive.dryRun && continues && threads.has(threadId))
      throw new Conflict(`an earlier dead letter of thread ${threadId} is redriven before it`);
    threads.add(threadId);
    return {
      run_id: runId,
      redriven: true,
      redrive_run_id: run?.run_id ?? null,
      available_at: run?.available_at ?? null,
      reason: null,
    };
  } catch (error) {
    if (error instanceof Conflict || error instanceof NotFound || error instanceof InvalidInput)
      return refused(runId, error.message);
    throw error;
  }
}

const refused = (runId: string, reason: string): RedriveResult => ({
  run_id: runId,
  redriven: false,
  redrive_run_id: null,
  available_at: null,
  reason,
});

/** Named runs that the caller may not see. */
async function hiddenOf(db: Database, which: DeadLetterFilter): Promise<Set<string>> {
  if (which.access === null || which.runIds === null) return new Set();
  const page = { limit: redrivesPerRequestMax, offset: 0 };
  const seen = await listDeadLetters(db, { ...which, all: true, ...page });
  return new Set(which.runIds.filter((id) => !seen.some((run) => run.run_id === id)));
}

/** Closes those that are meant, in one statement. The ids of those that were open. */
export async function discardMany(
  db: Database,
  {
    which,
    limit,
    reason,
    dryRun,
  }: { which: DeadLetterFilter; limit: number; reason: string; dryRun: boolean },
): Promise<string[]> {
  const runIds =
    which.runIds === null ? await oldestDeadLetters(db, { ...which, limit }) : await openOf(db, which);
  if (dryRun || runIds.length === 0) return runIds;
  const discarded = await discardDeadLetters(db, { runIds, tenant: which.tenant, reason });
  return discarded.map((run) => run.run_id);
}

/** Named ones are closed also when they were redriven. */
async function openOf(db: Database, which: DeadLetterFilter): Promise<string[]> {
  const named = await listDeadLetters(db, { ...which, all: true, limit: redrivesPerRequestMax, offset: 0 });
  return named.filter((run) => run.discarded_at === null).map((run) => run.run_id);
}
