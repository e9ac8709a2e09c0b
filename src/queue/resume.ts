import type { EscalationRow } from "../db/queries/rows.ts";
import { retryPolicy } from "../domain/retry.ts";
import type { CreateRun } from "./request.ts";

/** The run that carries an answer back into its graph. */
export function resumeRequest({
  question,
  value,
  principal,
  assistantId,
}: {
  question: EscalationRow;
  value: unknown;
  principal: string;
  assistantId: string;
}): CreateRun {
  const resume = question.interrupt_id === null ? value : { [question.interrupt_id]: value };
  return {
    tenant: question.tenant,
    threadId: question.thread_id,
    assistantId,
    graphId: question.graph_id,
    kwargs: { command: { resume }, stream_mode: ["values"] },
    metadata: { escalation_id: question.escalation_id },
    threadConfig: null,
    multitaskStrategy: "enqueue",
    afterSeconds: 0,
    temporary: false,
    createThread: false,
    attemptsMax: retryPolicy.attemptsMax,
    redriveOf: null,
    idempotencyKey: null,
    principal,
  };
}
