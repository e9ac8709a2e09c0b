import { createHash } from "node:crypto";
import type { NewEscalation } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { allowedResponses, detailOf } from "../domain/escalation.ts";
import { newId } from "../domain/ids.ts";
import type { Question } from "../domain/outcome.ts";
import { storable } from "../domain/text.ts";

const reasonCharsMax = 4_000;
const effectIdShape = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The id a client sees for a question. LangGraph's own is the same for every question of one node, so a second
 * click on the first would answer the second; ours names thread, task and position. 32 hex digits, like theirs.
 */
export function questionId({
  threadId,
  taskId,
  ordinal,
}: {
  threadId: string;
  taskId: string;
  ordinal: number;
}): string {
  return createHash("sha256").update(`${threadId}|${taskId}|${ordinal}`).digest("hex").slice(0, 32);
}

type Asking = Pick<RunRow, "tenant" | "thread_id" | "graph_id"> & { run_id: string | null };

/** The row of a question: what was shown, its digest, and what the gate asked for. */
export function escalationOf(run: Asking, question: Question): NewEscalation {
  const payload = JSON.stringify(question.payload ?? null);
  const detail = detailOf(question.payload);
  return {
    escalationId: newId(),
    tenant: run.tenant,
    threadId: run.thread_id,
    runId: run.run_id,
    graphId: run.graph_id,
    node: question.node,
    taskId: question.taskId,
    ordinal: question.ordinal,
    interruptId: questionId({ threadId: run.thread_id, taskId: question.taskId, ordinal: question.ordinal }),
    checkpointNs: question.checkpointNs,
    checkpointId: question.checkpointId,
    payload,
    payloadDigest: createHash("sha256").update(payload).digest("hex"),
    reasons: detail.reasons.map(({ code, message }) => ({
      code: storable(String(code), reasonCharsMax),
      message: storable(String(message), reasonCharsMax),
    })),
    allowed: allowedResponses(question.payload),
    assignee: detail.assignee === undefined ? null : storable(String(detail.assignee), reasonCharsMax),
    priority: detail.priority ?? 0,
    slaSeconds: detail.sla_seconds ?? null,
    expiresInSeconds: detail.expires_in_seconds ?? null,
    onExpiry: detail.on_expiry ?? null,
    effectId: effectIdShape.test(String(detail.effect_id)) ? String(detail.effect_id) : null,
  };
}
