import { createHash } from "node:crypto";
import * as compensations from "../db/queries/compensations.ts";
import type { EffectRow } from "../db/queries/effect-rows.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one, type Queryable } from "../db/query.ts";
import type { HumanInterrupt, ResponseType } from "../domain/escalation.ts";
import { newId } from "../domain/ids.ts";
import { retryPolicy } from "../domain/retry.ts";
import type { RunError } from "../domain/run.ts";

/** Error code of a compensation that a human must look at. */
export const compensationStuck = "compensation_stuck";

/**
 * A run that failed or was stopped leaves effects that can be undone: the run that undoes them becomes the head of
 * the thread, in the transaction that ends the other. Undefined when there is nothing to undo. The thread is locked.
 */
export async function startCompensation(tx: Queryable, ended: RunRow): Promise<RunRow | undefined> {
  if (ended.kind === "compensation") return undefined;
  const { config, context } = ended.kwargs;
  return one(
    await compensations.insertCompensation(tx, {
      ...placeOf(ended),
      runId: ended.run_id,
      compensationId: newId(),
      kwargs: { input: null, stream_mode: ["custom"], ...defined({ config, context }) },
      metadata: { compensates: ended.run_id },
      attemptsMax: retryPolicy.attemptsMax,
      redriveOf: null,
      epoch: ended.epoch,
    }),
  );
}

/** Where a compensation runs: as the run before it did. */
export const placeOf = (run: RunRow) => ({
  threadId: run.thread_id,
  tenant: run.tenant,
  assistantId: run.assistant_id,
  graphId: run.graph_id,
  temporary: run.temporary,
});

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** The thread's status when no run of it is open; null leaves it to the thread's open questions. */
export interface Rest {
  status: "idle" | "interrupted" | "error" | null;
  error: string | null;
}

/** What the thread shows when its compensation does not run: the end of its last run. */
export async function restAfter(tx: Queryable, { thread_id: threadId }: RunRow): Promise<Rest> {
  const last = one(await compensations.lastBegun(tx, { threadId }));
  const failed = last?.status === "error" || last?.status === "timeout";
  return failed ? { status: "error", error: last.error?.message ?? null } : { status: null, error: null };
}

/** The effect at which a compensation stopped; undefined when everything is undone. */
export async function stuckAt(tx: Queryable, run: RunRow): Promise<EffectRow | undefined> {
  if (run.compensates === null) return undefined;
  return one(await compensations.nextToCompensate(tx, { runId: run.compensates, threadId: run.thread_id }));
}

const unclear = ({ state }: EffectRow): boolean =>
  state === "dispatched" || state === "unknown" || state === "escalated";

/** Asks a human about the effect that could not be undone. Effects before it wait for the answer. */
export async function askHuman(tx: Queryable, run: RunRow, error: RunError): Promise<void> {
  const effect = await stuckAt(tx, run);
  if (effect === undefined) return;
  const allowed: ResponseType[] = [
    "accept",
    "response",
    "ignore",
    ...(unclear(effect) ? (["edit"] as const) : []),
  ];
  const payload = JSON.stringify([questionAbout(effect, { run, error, allowed })]);
  await compensations.askAboutCompensation(tx, {
    escalationId: newId(),
    tenant: run.tenant,
    threadId: run.thread_id,
    runId: run.run_id,
    graphId: run.graph_id,
    taskId: `compensation:${run.run_id}`,
    payload,
    payloadDigest: createHash("sha256").update(payload).digest("hex"),
    reasons: [{ code: compensationStuck, message: error.message }],
    allowed,
    effectId: effect.effect_id,
  });
}

function questionAbout(
  effect: EffectRow,
  { run, error, allowed }: { run: RunRow; error: RunError; allowed: ResponseType[] },
): HumanInterrupt {
  const result: unknown = effect.result === null ? null : JSON.parse(effect.result);
  const evidence = {
    effect_id: effect.effect_id,
    run_id: run.compensates,
    state: effect.state,
    key: effect.key,
    args: JSON.parse(effect.args) as unknown,
    result,
    dispatched_at: effect.dispatched_at,
    settled_at: effect.settled_at,
    error: { code: error.code, message: error.message },
  };
  const edit = unclear(effect) ? " Edit: it did take place, with this `result`; undo it now." : "";
  return {
    action_request: { action: `compensate ${effect.tool}`, args: evidence },
    config: {
      allow_accept: true,
      allow_respond: true,
      allow_ignore: true,
      allow_edit: allowed.includes("edit"),
    },
    description: `${effect.tool} could not be undone: ${error.message} Accept: nothing of it is left, I have undone it by hand. Ignore: leave it as it is. Respond: try again.${edit}`,
  };
}
