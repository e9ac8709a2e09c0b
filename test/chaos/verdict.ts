import type { Queryable } from "../../src/db/query.ts";
import { type EffectLine, type Expected, judgeEffects } from "../support/effect-log.ts";
import { resultViolations, violations } from "../support/invariants.ts";
import type { PlannedRun } from "./load.ts";

/** Ends that a kill or a fault of the model explains. Everything else that is no success is a violation. */
const explainedCodes = new Set(["crash_budget", "exhausted"]);
/** A dead letter is an honest end, but most runs have to get through. */
const deadShareMax = 0.01;

interface End {
  thread_id: string;
  /** Runs of the thread that ended in success: a question is followed by a run that carries its answer. */
  status: string;
  code: string | null;
  run_id: string;
  redriven: number;
}

export interface Verdict {
  violations: string[];
  ends: Record<string, number>;
}

/** Judges everything that happened, once all runs have ended. */
export async function judge(
  db: Queryable,
  plan: readonly PlannedRun[],
  log: readonly EffectLine[],
): Promise<Verdict> {
  const acknowledged = plan.flatMap(({ runId }) => (runId === undefined ? [] : [runId]));
  const wrong = await violations(db, acknowledged);
  const { ends, dead } = await endsOf(db, wrong);
  wrong.push(...judgeEffects(log, expectedOf(plan, dead)));
  wrong.push(...(await resultViolations(db, log)));
  const deadMax = Math.max(2, Math.ceil(plan.length * deadShareMax));
  if (dead.size > deadMax) wrong.push(`${dead.size} threads have a dead run, more than ${deadMax}`);
  return { violations: wrong, ends };
}

async function endsOf(
  db: Queryable,
  wrong: string[],
): Promise<{ ends: Record<string, number>; dead: Set<string> }> {
  const { rows } = await db.query({
    text: `select r.run_id, r.thread_id, r.status, r.error->>'code' as code from holdfast.runs r`,
    values: [],
  });
  const ends: Record<string, number> = {};
  const dead = new Set<string>();
  for (const { run_id, thread_id, status, code } of rows as unknown as End[]) {
    const end = code === null ? status : `${status} (${code})`;
    ends[end] = (ends[end] ?? 0) + 1;
    if (status === "success" || status === "interrupted") continue;
    dead.add(thread_id);
    if (!explainedCodes.has(code ?? "")) wrong.push(`run ${run_id} ended as ${end}, which no fault explains`);
  }
  const { rows: open } = await db.query({
    text: "select escalation_id, thread_id from holdfast.escalations where status = 'open'",
    values: [],
  });
  for (const { escalation_id } of open) wrong.push(`question ${String(escalation_id)} was never answered`);
  return { ends, dead };
}

/** Exactly one effect for each run; at most one where the run, or its neighbour on the thread, is a dead letter. */
function expectedOf(plan: readonly PlannedRun[], dead: ReadonlySet<string>): Expected[] {
  return plan.map(({ name, threadId, tool }) => ({
    tool,
    about: name,
    least: dead.has(threadId) ? 0 : 1,
    most: 1,
  }));
}
