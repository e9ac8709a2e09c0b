// Undoing one effect. The call that does it is an effect itself, with a row and a key of its own. Read next:
// src/engine/compensation.ts (the order), src/db/queries/compensations.ts (the guarded moves).
import { createHash } from "node:crypto";
import type { Database } from "../db/pool.ts";
import type { PendingEffect } from "../db/queries/compensations.ts";
import * as compensations from "../db/queries/compensations.ts";
import type { EffectRow } from "../db/queries/effect-rows.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { type EffectDeclaration, isDone, keyLifetimeSecondsDefault, lookMillis } from "../domain/effect.ts";
import { EffectUnsettled, Fatal, LeaseLost, Transient } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { storable } from "../domain/text.ts";
import { failpoint } from "../observe/failpoint.ts";
import { dispatchFresh } from "./send.ts";

const messageCharsMax = 4_000;
/** A look-up or a compensation that does not answer in this time has failed, and is tried again as any other. */
const callMillisMax = 300_000;

export interface CompensationDeps {
  db: Database;
  /** The compensation run. */
  run: RunRow;
  /** Repeats a statement while the database is away, and ends the attempt when it finds no lease. */
  write: <T>(statement: () => Promise<T>) => Promise<T>;
  signal: AbortSignal;
}

interface Step extends CompensationDeps {
  effect: PendingEffect;
  declaration: EffectDeclaration | undefined;
}

const leaseOf = (run: RunRow) => ({ runId: run.run_id, threadId: run.thread_id, epoch: run.epoch });

/**
 * Undoes an effect that took place, once; one that did not is left alone. Throws EffectUnsettled when it must be
 * looked up again later, Fatal when only a human can go on, and what `compensate` throws.
 */
export async function compensateEffect(
  deps: CompensationDeps,
  effect: PendingEffect,
  declaration: EffectDeclaration | undefined,
): Promise<"compensated" | "absent"> {
  const step: Step = { ...deps, effect, declaration };
  const took = isDone(effect.state) ? effect : await lookUp(step);
  if (took.state === "reconciled_absent") return "absent";
  await undo(step, took);
  return "compensated";
}

type Known = "reconciled_done" | "reconciled_absent";

/** Whether a call whose answer was lost took place. It is never sent again only to be undone. */
async function lookUp({ effect, declaration, ...deps }: Step): Promise<EffectRow> {
  const lookup = declaration?.lookup;
  if (lookup === undefined) {
    throw stuck(`nobody knows whether ${effect.tool} took place, and it cannot be looked up`);
  }
  const age = effect.age_ms ?? Number.POSITIVE_INFINITY;
  const [first, last] = lookMillis;
  if (age < first) throw later(effect, first - age);
  const found = await bounded(deps.signal, effect.tool, () => lookup(effect.key, argsOf(effect)));
  const state: Known | null = found.found ? "reconciled_done" : age >= last ? "reconciled_absent" : null;
  const result = found.found ? JSON.stringify(found.result ?? null) : null;
  const look = { ...leaseOf(deps.run), effectId: effect.effect_id, state, result };
  const row = held(one(await deps.write(() => compensations.noteLook(deps.db, look))));
  if (state === null) throw later(effect, last - age);
  return row;
}

const later = (effect: EffectRow, waitMs: number): EffectUnsettled =>
  new EffectUnsettled(`${effect.tool} is looked up again before it is undone`, { waitMs: Math.ceil(waitMs) });

async function undo({ effect, declaration, ...deps }: Step, took: EffectRow): Promise<void> {
  const compensate = declaration?.compensate;
  if (compensate === undefined) {
    throw stuck(`no graph of this worker declares how to undo ${effect.tool}`);
  }
  const { db, run, write, signal } = deps;
  const key = keyOf(effect);
  const lease = leaseOf(run);
  const kind = declaration?.compensateClass ?? "idempotent";
  const told = {
    compensationId: newId(),
    taskId: `compensation:${run.run_id}`,
    tool: `compensate:${effect.tool}`,
    key,
    class: kind,
    effectId: effect.effect_id,
  };
  const prepare = () => compensations.prepareCompensation(db, { ...lease, ...told });
  // Twice: when a repeated statement waited for its own first try, its snapshot does not show that row yet.
  const rows = write(async () => {
    const found = await prepare();
    return found.length > 0 ? found : prepare();
  });
  const row = held(one(await rows));
  await failpoint("effect.prepared");
  mayBeSent(row, kind, declaration?.keyLifetimeSeconds ?? keyLifetimeSecondsDefault);
  await dispatchFresh(async () =>
    held(one(await write(() => compensations.dispatchCompensation(db, { ...lease, key })))),
  );
  const done = { args: argsOf(took), result: resultOf(took) as never, key: effect.key };
  let result: unknown;
  try {
    result = await bounded(signal, told.tool, () => compensate(done, key));
  } catch (error) {
    const failed = { message: storable(classify(error).message, messageCharsMax) };
    const fail = () => compensations.failCompensation(db, { ...lease, key, error: failed });
    await write(fail).catch(fail);
    throw error;
  }
  await failpoint("effect.performed");
  const text = JSON.stringify(result ?? null);
  const settle = () => compensations.settleCompensation(db, { ...lease, key, result: text });
  // The attempt may have been stopped while the call was under way: its outcome is worth one more try.
  held(one(await write(settle).catch(settle)));
  await failpoint("effect.succeeded");
}

/** The same from whatever run: an effect has one compensation. */
const keyOf = ({ effect_id }: EffectRow): string =>
  createHash("sha256").update(`compensation|${effect_id}`).digest("hex");

const argsOf = (row: EffectRow): never => JSON.parse(row.args) as never;
const resultOf = (row: EffectRow): unknown => JSON.parse(row.result ?? "null");

/** A compensation that may have taken place is sent again only where its other side tells the two apart. */
function mayBeSent(row: PendingEffect, kind: string, keyLifetimeSeconds: number): void {
  if (row.state === "prepared" || kind === "natural") return;
  const young = (row.age_ms ?? 0) < keyLifetimeSeconds * 1_000;
  if (kind === "idempotent" && young) return;
  throw stuck(`nobody knows whether ${row.tool} took place, and sending it again is not safe`);
}

const stuck = (message: string): Fatal => new Fatal(message, { code: "compensation_stuck" });

/** Ends with the call, the attempt, or the time that a call has. */
async function bounded<T>(signal: AbortSignal, name: string, call: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let stop: () => void = () => undefined;
  const cut = new Promise<never>((_, reject) => {
    const timer = setTimeout(
      () => reject(new Transient(`${name} did not answer within ${callMillisMax / 1_000} s`)),
      callMillisMax,
    );
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
  });
  return Promise.race([call(), cut]).finally(() => stop());
}

function held<R extends EffectRow>(row: R | undefined): R {
  if (row === undefined) throw new LeaseLost("a compensation was refused: the lease has moved on");
  return row;
}
