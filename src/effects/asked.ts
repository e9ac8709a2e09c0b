import { escalatedByRun } from "../db/queries/effect-reads.ts";
import type { Queryable } from "../db/query.ts";
import { Fatal } from "../domain/errors.ts";
import type { Question } from "../domain/outcome.ts";

/**
 * A question is thrown through the node that made the call; one that catches it goes on as if all were well, and
 * nobody would ever be asked. Throws Fatal `effect_question_swallowed` when a run stops without a question it owes.
 * A node asks one question after another, so one that asks something may owe more.
 */
export async function refuseSwallowedQuestions(
  db: Queryable,
  { runId, questions }: { runId: string; questions: readonly Question[] },
): Promise<void> {
  const owed = await escalatedByRun(db, { runId });
  const asking = new Set(questions.map(({ checkpointNs, taskId }) => rootTask(checkpointNs, taskId)));
  const lost = owed.find(({ checkpoint_ns: ns, task_id: taskId }) => !asking.has(rootTask(ns, taskId)));
  if (lost === undefined) return;
  throw new Fatal(
    `whether effect ${lost.tool} took place (effect ${lost.effect_id}) is not known, and its node caught the question about it: let what effect() throws pass`,
    { code: "effect_question_swallowed" },
  );
}

/** The task of the run's own graph that a task is part of: `node:id|node:id` is the namespace around it. */
const rootTask = (ns: string, taskId: string): string =>
  ns === "" ? taskId : String(ns.split("|")[0]?.split(":").at(-1));
