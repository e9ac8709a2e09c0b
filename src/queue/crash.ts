import type { Database } from "../db/pool.ts";
import { lockThread } from "../db/queries/create.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as settling from "../db/queries/settle.ts";
import { one, type Queryable } from "../db/query.ts";
import type { Outcome } from "../domain/outcome.ts";
import type { RunError } from "../domain/run.ts";
import { storable } from "../domain/text.ts";
import { settleInTransaction } from "./settle.ts";
import { storedTextsOf } from "./stored-texts.ts";

/** Crashes that a run survives without a committed step between them; the third ends it. */
export const crashesMax = 3;
/** Workers that may be lost under a run before it gets on. Kills from outside do not reach this; a run that takes
 * its worker along with its own process does. */
export const lossesMax = 10;

const textCharsMax = 4_000;

/** How the process of a suspect died while it ran alone. */
export interface Death {
  /** In words: `killed by SIGABRT`, `ended with code 0`. */
  how: string;
  /** The last of what it wrote to stderr, bounded by the caller. */
  stderr: string;
}

/** What became of the run: back in the queue, ended by its budget, or as somebody had asked. */
export type CrashEnd = { kind: "requeued" } | { kind: "buried"; error: RunError } | { kind: "cancelled" };

/**
 * Charges a crash to the run that was alone in the process that died. Guarded by the epoch: "moved" means that the
 * run was settled before its process died, or has another holder, and nothing was written.
 */
export function chargeCrash(db: Database, run: RunRow, death: Death): Promise<CrashEnd | { kind: "moved" }> {
  return db.transaction(async (tx) => {
    await lockThread(tx, { threadId: run.thread_id, tenant: run.tenant });
    const lease = { runId: run.run_id, epoch: run.epoch };
    const held = one(await settling.holdRun(tx, lease));
    if (held === undefined) return { kind: "moved" };
    const progressed = one(await settling.hasProgressed(tx, lease)) ?? false;
    return recordCrash(tx, { run: held, progressed, alone: true, error: crashError(death) });
  });
}

interface Crash {
  run: RunRow;
  /** Whether the attempt committed a step. */
  progressed: boolean;
  /** Whether it is run alone next time. */
  alone: boolean;
  error: RunError;
}

/** One crash more for a run whose row and thread are locked. */
export async function recordCrash(
  tx: Queryable,
  { run, progressed, alone, error }: Crash,
): Promise<CrashEnd> {
  // A run that got on since its last crash is not stuck at what kills its process.
  const spent = (progressed ? 0 : run.crashes) + 1 >= crashesMax;
  const message = `its process died ${crashesMax} times without a step between: ${error.message}`;
  const ended = await endInstead(tx, run, spent ? { ...error, code: "crash_budget", message } : null);
  if (ended !== null) return ended;
  await recordAttempt(tx, run, "crashed", error);
  await settling.requeueCrashed(tx, { runId: run.run_id, epoch: run.epoch, progressed, alone });
  return { kind: "requeued" };
}

/** Its worker is gone, and nobody knows whose fault that was: uncharged, and run alone when it was the second. */
export async function recordLoss(
  tx: Queryable,
  { run, progressed }: Pick<Crash, "run" | "progressed">,
): Promise<CrashEnd> {
  const spent = (progressed ? 0 : run.losses) + 1 >= lossesMax;
  const message = `${lossesMax} workers died under it without a step between`;
  const error = spent ? { code: "crash_budget", name: "WorkerCrashed", message } : null;
  const ended = await endInstead(tx, run, error);
  if (ended !== null) return ended;
  await recordAttempt(tx, run, "lost", null);
  await settling.requeueLost(tx, { runId: run.run_id, epoch: run.epoch, progressed });
  return { kind: "requeued" };
}

/** Runs that must not go back into the queue: somebody asked them to stop, or their budget is spent. */
async function endInstead(tx: Queryable, run: RunRow, error: RunError | null): Promise<CrashEnd | null> {
  const outcome = endOf(run, error);
  if (outcome === null) return null;
  const finalEvents =
    outcome.kind === "dead"
      ? [
          {
            event: "error",
            data: JSON.stringify({ error: outcome.error.name, message: outcome.error.message }),
          },
        ]
      : [];
  const settlement = { run, outcome, finalEvents };
  await settleInTransaction(tx, settlement, await storedTextsOf(settlement));
  return outcome.kind === "dead" ? { kind: "buried", error: outcome.error } : { kind: "cancelled" };
}

function endOf(run: RunRow, error: RunError | null): Extract<Outcome, { kind: "dead" | "cancelled" }> | null {
  if (run.cancel_requested !== null) return { kind: "cancelled", action: run.cancel_requested };
  return error === null ? null : { kind: "dead", status: "error", error };
}

async function recordAttempt(
  tx: Queryable,
  run: RunRow,
  outcome: "crashed" | "lost",
  error: RunError | null,
): Promise<void> {
  await settling.recordAttempt(tx, {
    runId: run.run_id,
    epoch: run.epoch,
    attempt: run.attempt,
    workerId: run.worker_id,
    outcome,
    error,
    delayMs: null,
    startedAt: run.claimed_at,
  });
}

function crashError({ how, stderr }: Death): RunError {
  const told = lastWords(stderr);
  return {
    code: "worker_crashed",
    name: "WorkerCrashed",
    message: storable(told.message === undefined ? how : `${how}: ${told.message}`, textCharsMax),
    ...(told.stack === "" ? {} : { stack: storable(told.stack.slice(-textCharsMax), textCharsMax) }),
  };
}

/** What a dying process said: V8's fatal error, or our watchdog's line with the stack of what blocked the loop. */
function lastWords(stderr: string): { message?: string; stack: string } {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  for (const line of lines.toReversed()) {
    const watchdog = watchdogLine(line);
    if (watchdog !== undefined) return watchdog;
    const fatal = /FATAL ERROR: (.*)$/.exec(line)?.[1];
    if (fatal !== undefined) return { message: fatal, stack: lines.join("\n") };
  }
  return { stack: lines.join("\n") };
}

function watchdogLine(line: string): { message: string; stack: string } | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { msg, stack } = JSON.parse(line) as { msg?: unknown; stack?: unknown };
    if (typeof msg !== "string" || !Array.isArray(stack)) return undefined;
    return { message: msg, stack: stack.map((frame) => `    at ${String(frame)}`).join("\n") };
  } catch {
    // Cut off, or somebody else's: it stays part of the text.
    return undefined;
  }
}
