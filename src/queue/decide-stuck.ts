import type { Database } from "../db/pool.ts";
import * as compensations from "../db/queries/compensations.ts";
import { lockThread, openRuns } from "../db/queries/create.ts";
import { decideEscalation, getEscalation } from "../db/queries/escalations.ts";
import type { EscalationRow, RunRow } from "../db/queries/rows.ts";
import { getRun } from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict, NotFound } from "../domain/errors.ts";
import type { HumanResponse } from "../domain/escalation.ts";
import { newId } from "../domain/ids.ts";
import { alreadyDecided } from "./answer.ts";
import { placeOf } from "./compensate.ts";

type Stuck = RunRow & { compensates: string };

interface Answer {
  question: EscalationRow;
  response: HumanResponse;
  principal: string;
}

/**
 * Decides the question of a stuck compensation and starts the run that goes on with it, in one transaction.
 * Throws Conflict when it was decided before or a run of the thread is open, NotFound.
 */
export async function decideStuck(db: Database, { question, response, principal }: Answer): Promise<RunRow> {
  const { escalation_id: escalationId, thread_id: threadId, tenant } = question;
  return db.transaction(async (tx) => {
    await lockThread(tx, { threadId, tenant });
    const now = one(await getEscalation(tx, { escalationId, tenant }));
    if (now === undefined) throw new NotFound(`Escalation ${escalationId} not found`);
    if (now.status !== "open") throw alreadyDecided(now);
    const open = await openRuns(tx, { threadId });
    if (open.some(({ status }) => status === "queued" || status === "running")) {
      throw new Conflict(`Thread ${threadId} is running: its question can be answered when it waits again`);
    }
    const answer = { question: now, response, principal };
    const stuck = await stuckRun(tx, now);
    await apply(tx, answer);
    return goOn(tx, stuck, answer);
  });
}

async function apply(tx: Queryable, { question, response, principal }: Answer): Promise<void> {
  const effectId = question.effect_id ?? "";
  const { type, args } = response;
  if (type === "response") {
    // What became of the last try does not matter any more: somebody has looked.
    await compensations.allowCompensation(tx, { effectId });
    return;
  }
  if (type === "edit") {
    const result = (args as { args?: { result?: unknown } } | null)?.args?.result ?? null;
    await compensations.confirmEffect(tx, { effectId, result: JSON.stringify(result) });
    return;
  }
  const outcome = type === "accept" ? "undone" : "left";
  const decision = { outcome, by: principal, comment: args ?? null, escalation_id: question.escalation_id };
  const decided = await compensations.decideCompensation(tx, { effectId, outcome, decision });
  if (decided.length === 0) throw new Conflict(`effect ${effectId} is not open any more`);
}

/** The compensation that asks cannot be deleted, so it is there. */
async function stuckRun(
  tx: Queryable,
  { run_id: runId, thread_id: threadId, tenant }: EscalationRow,
): Promise<Stuck> {
  const stuck = runId === null ? undefined : one(await getRun(tx, { runId, threadId, tenant }));
  if (stuck === undefined || stuck.compensates === null) throw new NotFound(`Run ${runId} not found`);
  return { ...stuck, compensates: stuck.compensates };
}

async function goOn(tx: Queryable, stuck: Stuck, { question, response, principal }: Answer): Promise<RunRow> {
  const compensationId = newId();
  const decided = one(
    await decideEscalation(tx, {
      escalationId: question.escalation_id,
      status: "decided",
      decision: JSON.stringify([response]),
      decidedBy: principal,
      resumeRunId: compensationId,
    }),
  );
  if (decided === undefined)
    throw new Conflict(`escalation ${question.escalation_id} has just been answered`);
  const run = one(
    await compensations.insertCompensation(tx, {
      ...placeOf(stuck),
      runId: stuck.compensates,
      compensationId,
      kwargs: stuck.kwargs,
      metadata: { ...stuck.metadata, escalation_id: question.escalation_id },
      attemptsMax: stuck.attempts_max,
      redriveOf: stuck.run_id,
      epoch: stuck.epoch,
    }),
  );
  if (run === undefined) throw new NotFound(`Thread with ID ${stuck.thread_id} not found`);
  return run;
}
