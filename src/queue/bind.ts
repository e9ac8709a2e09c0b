import * as escalations from "../db/queries/escalations.ts";
import type { EscalationRow, RunRow } from "../db/queries/rows.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict, InvalidInput } from "../domain/errors.ts";
import { type HumanResponse, isHumanInterrupt } from "../domain/escalation.ts";
import type { ResumeAnswer } from "../domain/run.ts";
import { failpoint } from "../observe/failpoint.ts";
import type { CreateRun } from "./request.ts";

/** Agent Inbox's payloads say which responses they allow; an answer by the SDK's resume is held to it as well. */
function checkAllowed(question: EscalationRow, value: unknown): void {
  if (!isHumanInterrupt(JSON.parse(question.payload))) return;
  for (const response of Array.isArray(value) ? value : [value]) {
    const { type } = (response ?? {}) as Partial<HumanResponse>;
    if (type !== undefined && question.allowed_decisions.includes(type)) continue;
    const allowed = question.allowed_decisions.join(", ");
    throw new InvalidInput(
      `command.resume: the answer must be a list of {type, args} with type one of ${allowed}`,
      {
        field: "command.resume",
      },
    );
  }
}

interface Answered {
  question: EscalationRow;
  value: unknown;
}

/** LangGraph's interrupt ids, and ours, are 32 hex digits: a resume object with only such keys is a map by id. */
const interruptId = /^[0-9a-f]{32}$/;

/**
 * Binds a resume to the questions it answers, in the transaction that accepts it; null when the run is no resume.
 * Throws Conflict when the thread waits for nothing, for something else, or when a run is open.
 */
export async function bindResume(
  tx: Queryable,
  { request, runId, open }: { request: CreateRun; runId: string; open: RunRow[] },
): Promise<ResumeAnswer[] | null> {
  const resume = request.kwargs.command?.resume;
  if (resume === undefined || resume === null) return null;
  if (request.afterSeconds > 0) {
    throw new InvalidInput("after_seconds: an answer is given now, it cannot wait", {
      field: "after_seconds",
    });
  }
  if (open.some((run) => run.status === "queued" || run.status === "running")) {
    throw new Conflict(
      `Thread ${request.threadId} is running: its question can be answered when it waits again`,
    );
  }
  const asked = await escalations.escalationsOfThread(tx, { threadId: request.threadId });
  const answered = match(resume, asked);
  for (const { question, value } of answered) {
    if (request.principal !== expiryPrincipal) checkAllowed(question, value);
    const decided = one(
      await escalations.decideEscalation(tx, {
        escalationId: question.escalation_id,
        status: request.principal === expiryPrincipal ? "expired" : "decided",
        decision: JSON.stringify(value),
        decidedBy: request.principal,
        resumeRunId: runId,
      }),
    );
    if (decided === undefined)
      throw new Conflict(`escalation ${question.escalation_id} has just been answered`);
  }
  await failpoint("decision.taken");
  return answered.map(({ question, value }) => ({
    taskId: question.task_id,
    checkpointNs: question.checkpoint_ns,
    checkpointId: question.checkpoint_id,
    answers: [...earlierAnswers(question, asked), value],
    by: request.principal,
  }));
}

/** Answers by timeout come from here. */
export const expiryPrincipal = "holdfast:expiry";

function match(resume: unknown, asked: EscalationRow[]): Answered[] {
  const open = asked.filter((question) => question.status === "open" && !question.compensation);
  if (open.length === 0) throw new Conflict("the thread waits for no answer");
  if (typeof resume === "object" && resume !== null && !Array.isArray(resume)) {
    const entries = Object.entries(resume);
    if (entries.length > 0 && entries.every(([key]) => interruptId.test(key))) return byId(entries, open);
  }
  const [only] = open;
  if (open.length > 1 || only === undefined) {
    const ids = open.map((question) => question.interrupt_id).join(", ");
    throw new Conflict(
      `the thread waits for ${open.length} answers: resume with an object keyed by interrupt id (${ids})`,
    );
  }
  return [{ question: only, value: resume }];
}

function byId(entries: [string, unknown][], open: EscalationRow[]): Answered[] {
  return entries.map(([id, value]) => {
    const question = open.find((candidate) => candidate.interrupt_id === id);
    if (question === undefined) throw new Conflict(`the thread waits for no answer to interrupt ${id}`);
    return { question, value };
  });
}

/** A task that asks a second question finds its first answer again by position. */
function earlierAnswers(question: EscalationRow, asked: EscalationRow[]): unknown[] {
  return asked
    .filter(
      (other) =>
        other.task_id === question.task_id && other.ordinal < question.ordinal && other.decision !== null,
    )
    .sort((a, b) => a.ordinal - b.ordinal)
    .map((other) => JSON.parse(other.decision ?? "null") as unknown);
}
