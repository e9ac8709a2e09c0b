import type { EscalationRow } from "../db/queries/rows.ts";
import { getRun } from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { systemAssistantId } from "../domain/ids.ts";
import { retryPolicy } from "../domain/retry.ts";
import type { CreateRun } from "./request.ts";

interface Answer {
  question: EscalationRow;
  /** What `interrupt()` returns in the graph. */
  value: unknown;
  principal: string;
  /** What the answer's run finds about its user, instead of the one who asked for the run before it. */
  user?: Record<string, unknown>;
}

/** The run that carries an answer back into its graph, under config, context and metadata of the run that asked. */
export async function resumeRequest(
  db: Queryable,
  { question, value, principal, user = {} }: Answer,
): Promise<CreateRun> {
  const { run_id: runId, tenant, graph_id: graphId } = question;
  const asking = runId === null ? undefined : one(await getRun(db, { runId, threadId: null, tenant }));
  const { config, context, stream_protocol } = asking?.kwargs ?? {};
  const mine = { ...config, configurable: { ...config?.configurable, ...user } };
  const resume = question.interrupt_id === null ? value : { [question.interrupt_id]: value };
  return {
    tenant,
    threadId: question.thread_id,
    assistantId: asking?.assistant_id ?? systemAssistantId(graphId),
    graphId,
    kwargs: {
      command: { resume },
      stream_mode: ["values"],
      ...(config === undefined && Object.keys(user).length === 0 ? {} : { config: mine }),
      ...(context === undefined ? {} : { context }),
      // Who followed the question by the newer protocol follows the answer so too.
      ...(stream_protocol === undefined ? {} : { stream_protocol }),
    },
    metadata: { ...asking?.metadata, escalation_id: question.escalation_id },
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
