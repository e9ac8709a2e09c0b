import { allRedrivesOf, type deadLetterGroups } from "../db/queries/dead-letters.ts";
import { effectsOfRuns, lastCheckpointOf } from "../db/queries/forks.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { listAttempts } from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { adviceFor } from "../domain/advice.ts";
import { withoutUser } from "../domain/caller.ts";
import { Conflict, InvalidInput } from "../domain/errors.ts";
import { wireStatus } from "../domain/run.ts";
import { asItStands, planRedrive, type RedriveChoice } from "./redrive-plan.ts";

const effectsMax = 200;
const redrivesMax = 50;
const attemptsMax = 200;

const lineFields = [
  "run_id",
  "thread_id",
  "assistant_id",
  "graph_id",
  "error",
  "fingerprint",
  "attempt",
  "failures",
  "crashes",
  "losses",
  "suspect",
  "created_at",
  "started_at",
  "finished_at",
  "discarded_at",
  "discard_reason",
  "redrive_of",
] as const satisfies readonly (keyof RunRow)[];

/** A dead letter as it stands in a list. `error` holds the chain: code, name, message, causes and stack. */
export function deadLetterLine(run: RunRow): Record<string, unknown> {
  const { metadata, kwargs, multitask_strategy, updated_at } = run;
  return {
    ...Object.fromEntries(lineFields.map((field) => [field, run[field]])),
    status: wireStatus(run.status),
    advice: adviceFor(run.error?.code ?? "error"),
    metadata,
    kwargs: withoutUser(kwargs),
    multitask_strategy,
    updated_at,
  };
}

/** All that one needs to decide about a dead run: what went in, what failed and when, what it did, what can be done. */
export async function deadLetterStory(db: Queryable, dead: RunRow): Promise<Record<string, unknown>> {
  const { run_id: runId, kwargs } = dead;
  const last = one(await lastCheckpointOf(db, { runId, threadId: dead.thread_id }));
  const redrives = await allRedrivesOf(db, { runId, limit: redrivesMax });
  return {
    ...deadLetterLine(dead),
    input: kwargs.input ?? null,
    command: kwargs.command ?? null,
    attempts: await attemptsOf(db, dead),
    effects: await effectsOfRuns(db, { runIds: [runId], limit: effectsMax }),
    last_checkpoint_id: last?.checkpointId ?? null,
    redrives: redrives.map(({ run_id, status, created_at }) => ({
      run_id,
      status: wireStatus(status),
      created_at,
    })),
    redriven_by: redrives.filter((run) => alive.includes(run.status)).map((run) => run.run_id),
    redrive: {
      checkpoint: await possible(db, dead, asItStands),
      start: await possible(db, dead, { ...asItStands, from: "start" }),
    },
  };
}

const alive: readonly string[] = ["queued", "blocked", "running", "success"];

/** Each attempt with the milliseconds that the run waited for it: in the queue at first, then by the retry's wait. */
async function attemptsOf(db: Queryable, dead: RunRow): Promise<Record<string, unknown>[]> {
  const rows = (await listAttempts(db, { runId: dead.run_id })).slice(-attemptsMax);
  return rows.map((row, n) => {
    const since = n === 0 ? dead.created_at : rows[n - 1]?.ended_at;
    const waited =
      row.started_at === null || since === undefined ? null : row.started_at.getTime() - since.getTime();
    return { ...row, waited_ms: waited };
  });
}

/** Whether it could be redriven so right now, and if not, why; with the effects that would have to be decided about. */
async function possible(
  db: Queryable,
  dead: RunRow,
  choice: RedriveChoice,
): Promise<Record<string, unknown>> {
  try {
    await planRedrive(db, dead, { ...choice, principal: "", afterSeconds: 0 });
    return { possible: true, why: null };
  } catch (error) {
    if (!(error instanceof Conflict || error instanceof InvalidInput)) throw error;
    const detail = error instanceof Conflict ? (error.detail as object | undefined) : undefined;
    return {
      possible: false,
      why: error.message,
      ...(detail !== undefined && "effects" in detail ? { effects: detail.effects } : {}),
    };
  }
}

/** A cause with what to do about it. */
export function deadLetterGroup({
  error,
  ...group
}: Awaited<ReturnType<typeof deadLetterGroups>>[number]): Record<string, unknown> {
  const { code = "error", name = null, message = null } = error ?? {};
  return { ...group, code, name, message, advice: adviceFor(code) };
}
