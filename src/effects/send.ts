// Sending a call: the last fence, the call, its outcome.

import type { MovedEffect } from "../db/queries/effect-rows.ts";
import * as effects from "../db/queries/effects.ts";
import { one } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { dispatchesMax } from "../domain/effect.ts";
import { Fatal } from "../domain/errors.ts";
import { toJson } from "../domain/json.ts";
import { storable } from "../domain/text.ts";
import { failpoint } from "../observe/failpoint.ts";
import { tookNoPlace } from "./failure.ts";
import { held, type Ledger, type Opened } from "./opened.ts";
import { resultBytesMax } from "./sizes.ts";

const messageCharsMax = 4_000;
/** How old the last look at the lease may be when a call goes out. */
const freshMillisMax = 250;
/** With a slow database each pass is old when it is answered: then the last one has to do. */
const fencePassesMax = 3;
export const unstorableCode = "effect_result_unstorable";

/** The row after a call, with what the call threw when it did not succeed. */
export type Sent = { row: MovedEffect; thrown?: { error: unknown } };

export async function send<R>(
  ledger: Ledger,
  { intent, dispatch }: Opened<R>,
  row: MovedEffect,
): Promise<Sent> {
  const { db, lease, metrics } = ledger;
  const mine = row.run_id === lease.runId ? row.run_dispatches : 0;
  if (mine >= dispatchesMax) {
    throw new Fatal(`effect ${row.tool} was sent ${mine} times by this run and never came out well`, {
      code: "effect_exhausted",
    });
  }
  const { dispatches } = row;
  await dispatchFresh(() =>
    ledger.move(() => effects.dispatchEffect(db, { ...lease, ...intent, dispatches })),
  );
  const stop = metrics.toolDuration.startTimer({ tool: row.tool });
  let result: R;
  try {
    result = await dispatch(row.key);
  } catch (error) {
    stop();
    return await sendFailed(ledger, intent, error);
  }
  stop();
  await failpoint("effect.performed");
  const done = await settle(ledger, intent, { state: "succeeded", ...stored(row.tool, result) });
  await failpoint("effect.succeeded");
  return { row: done };
}

/**
 * Passes the last fence, and once more when a while has gone by since: a process that was stopped there past its
 * lease (SIGSTOP, a sleeping machine) must not send what another holder may have looked up or asked about by now.
 */
export async function dispatchFresh(dispatch: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; turn < fencePassesMax; turn += 1) {
    const beganMillis = performance.now();
    await dispatch();
    await failpoint("effect.dispatched");
    if (performance.now() - beganMillis < freshMillisMax) return;
  }
}

async function sendFailed(ledger: Ledger, intent: effects.Intent, error: unknown): Promise<Sent> {
  const { message } = classify(error);
  const state = tookNoPlace(error, intent.class) ? "failed" : "unknown";
  const row = await settle(ledger, intent, {
    state,
    result: null,
    error: { message: storable(message, messageCharsMax) },
  });
  if (state === "unknown") await failpoint("effect.unknown");
  return { row, thrown: { error } };
}

/** It took place, so it is settled in any case; what cannot be stored is named in the row, and again on each repetition. */
export function stored(tool: string, result: unknown): { result: string | null; error: unknown } {
  try {
    const limits = { what: `the result of effect ${tool}`, bytesMax: resultBytesMax, code: unstorableCode };
    return { result: toJson(result, limits), error: null };
  } catch (error) {
    const { message } = error as Error;
    return { result: null, error: { code: unstorableCode, message: storable(message, messageCharsMax) } };
  }
}

async function settle(
  { db, lease, write, metrics }: Ledger,
  { key, tool, class: kind }: effects.Intent,
  how: { state: "succeeded" | "failed" | "unknown"; result: string | null; error: unknown },
): Promise<MovedEffect> {
  const statement = (): Promise<MovedEffect[]> => effects.settleEffect(db, { ...lease, key, ...how });
  // The attempt may have been stopped while the call was under way: its outcome is worth one more try.
  const row = held(one(await write(statement).catch(statement)));
  metrics.toolCalls.inc({ tool, outcome: how.state });
  metrics.effects.inc({ class: kind, state: how.state });
  return row;
}
