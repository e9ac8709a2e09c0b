// Effects in a fork: performed anew, or taken from the pass of the thread that lies behind it.
import { type Fork, forkOfRun, reusableEffect } from "../db/queries/effect-reads.ts";
import type { MovedEffect } from "../db/queries/effect-rows.ts";
import * as effects from "../db/queries/effects.ts";
import { one } from "../db/query.ts";
import type { Ledger, LedgerDeps, Opened } from "./opened.ts";

/** The fork that a run is part of: its own, or that of the run whose parked step it answers. Null for most runs. */
export async function forkOf({ db, run }: Pick<LedgerDeps, "db" | "run">): Promise<Fork | null> {
  if (run.effects_policy === null && run.resume === null) return null;
  return one(await forkOfRun(db, { runId: run.run_id })) ?? null;
}

/** Under the policy `reuse`, a new call takes the result of an equal one behind the fork. Null when there is none. */
export async function reuse(
  { db, lease, move }: Ledger,
  { intent, fork }: Opened<unknown>,
  row: MovedEffect,
): Promise<MovedEffect | null> {
  const { checkpoint, effects_policy, runs } = fork ?? {};
  if (effects_policy !== "reuse" || checkpoint == null || runs === undefined) return null;
  if (row.state !== "prepared" || row.dispatches > 0 || row.class === "read") return null;
  const { threadId } = lease;
  const place = {
    threadId,
    checkpointNs: checkpoint.checkpoint_ns ?? "",
    checkpointId: checkpoint.checkpoint_id,
  };
  const { tool, argsDigest, key } = intent;
  const source = one(await reusableEffect(db, { ...place, tool, argsDigest, runs }));
  if (source === undefined) return null;
  return move(() => effects.reuseEffect(db, { ...lease, key, source: source.effect_id }));
}
