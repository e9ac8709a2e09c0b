import type { EffectClass, EffectState } from "../../domain/effect.ts";

export interface EffectRow {
  effect_id: string;
  tenant: string;
  key: string;
  business_key: string | null;
  tool: string;
  tool_version: string | null;
  tool_call_id: string | null;
  class: EffectClass;
  state: EffectState;
  args_digest: string;
  args: string;
  result: string | null;
  error: unknown;
  epoch: number;
  attempt: number | null;
  ordinal: number;
  task_id: string;
  run_id: string | null;
  /** Null when the thread was deleted: the business key still protects. */
  thread_id: string | null;
  checkpoint_ns: string;
  checkpoint_id: string | null;
  dispatches: number;
  run_dispatches: number;
  looks: number;
  looked_at: Date | null;
  asked: boolean;
  /** In a fork: the earlier call whose result this one took. */
  reuses: string | null;
  compensates: string | null;
  compensated_at: Date | null;
  seq: number;
  prepared_at: Date;
  first_dispatched_at: Date | null;
  dispatched_at: Date | null;
  settled_at: Date | null;
}

/** A row of the ledger as a move found or left it, with the database's time. */
export interface MovedEffect extends EffectRow {
  now: Date;
}
export const asMoved = (raw: Record<string, unknown>): MovedEffect => raw as unknown as MovedEffect;
