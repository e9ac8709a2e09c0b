import { getCheckpointMetadata } from "../db/queries/checkpoint-reads.ts";
import { type EffectBehind, effectsBehind } from "../db/queries/forks.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict } from "../domain/errors.ts";
import type { EffectsPolicy, RunKwargs } from "../domain/run.ts";
import type { CreateRun } from "./request.ts";

export const effectsShownMax = 20;
const digestCharsShown = 12;

/**
 * A run that starts at an older point does again what was done behind it. Throws Conflict with the list when the thread
 * has effects there and the caller did not say what to do about them. The thread is locked.
 */
export async function refuseUnaskedRepeats(tx: Queryable, request: CreateRun, open: RunRow[]): Promise<void> {
  const { effectsPolicy: policy = null, threadId, kwargs, redriveOf } = request;
  // A redrive has looked for itself; behind open runs a run goes on from where these stop.
  if (repeatsAllowed(policy) || redriveOf !== null) return;
  if (kwargs.checkpoint === undefined && open.length > 0) return;
  const behind = await effectsBehind(tx, {
    threadId,
    ...(await pointOf(tx, request)),
    limit: effectsShownMax,
  });
  if (behind.length === 0) return;
  const how = 'say what to do about them by config.configurable.holdfast_effects: "reuse" or "repeat"';
  throw repeated(behind, `the run starts at a point before effects that took place: ${how}`);
}

/** The root's checkpoint that a run starts from; null for the latest. */
async function pointOf(
  tx: Queryable,
  { threadId, kwargs: { checkpoint } }: { threadId: string; kwargs: RunKwargs },
): Promise<{ checkpointId: string | null; strict: boolean }> {
  if (checkpoint === undefined) return { checkpointId: null, strict: false };
  const { checkpoint_id: id, checkpoint_ns: ns = "", checkpoint_map: map } = checkpoint;
  if (ns === "") return { checkpointId: id, strict: false };
  // A point inside of a subgraph: what its step did lies behind it, whichever step of the root that is.
  const metadata = one(await getCheckpointMetadata(tx, { threadId, ns, checkpointId: id }));
  const { parents } = (metadata ?? {}) as { parents?: Record<string, string> };
  return { checkpointId: map?.[""] ?? parents?.[""] ?? id, strict: true };
}

/** Names every effect in the message as well: clients of the Agent Server see nothing else. */
export function repeated(behind: readonly EffectBehind[], why: string): Conflict {
  const list = behind.map(({ tool, state, dispatched_at, args_digest }) => {
    const when = dispatched_at === null ? "" : ` ${dispatched_at.toISOString()}`;
    return `${tool} (${state}${when}, arguments ${args_digest.slice(0, digestCharsShown)})`;
  });
  const more = behind.length < effectsShownMax ? "" : ", and perhaps more";
  return new Conflict(`${why}. Effects: ${list.join(", ")}${more}`, { detail: { effects: behind } });
}

export const repeatsAllowed = (policy: EffectsPolicy | null): boolean =>
  policy === "reuse" || policy === "repeat";
