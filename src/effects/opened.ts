import type { Database } from "../db/pool.ts";
import type { Fork } from "../db/queries/effect-reads.ts";
import type { MovedEffect } from "../db/queries/effect-rows.ts";
import type { Intent, Lease } from "../db/queries/effects.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { LeaseLost } from "../domain/errors.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { EffectCall } from "./effect.ts";

export interface LedgerDeps {
  db: Database;
  run: RunRow;
  /** Repeats a statement while the database is away. Zero rows end the attempt: the lease has moved on. */
  write: <T>(statement: () => Promise<T>) => Promise<T>;
  /** Ends the attempt: a tool node turns what a tool throws into a message, and the model would try again. */
  abort: (error: Error) => void;
  metrics: Pick<Metrics, "effects" | "toolCalls" | "toolDuration">;
}

/** The ledger of one attempt, as its parts use it. */
export interface Ledger extends LedgerDeps {
  lease: Lease;
  /** A guarded move of one row. Throws LeaseLost when it was refused. */
  move: (statement: () => Promise<MovedEffect[]>) => Promise<MovedEffect>;
  /** Waits, bounded, for a call with this key in this attempt, and for its end; undefined when none came. */
  reached: (key: string) => Promise<PromiseSettledResult<unknown> | undefined>;
}

/** A call that the ledger has in hand. */
export interface Opened<R> {
  call: EffectCall;
  intent: Intent;
  fork: Fork | null;
  dispatch: (key: string) => Promise<R>;
}

export function held<T>(row: T | undefined): T {
  if (row === undefined) throw new LeaseLost("an effect was refused: the lease has moved on");
  return row;
}

export const movesOf =
  (write: LedgerDeps["write"]): Ledger["move"] =>
  async (statement) =>
    held(one(await write(statement)));
