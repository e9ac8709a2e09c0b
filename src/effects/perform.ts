// One call, from its row in the ledger to its result. Each turn looks at the state and makes one move.
import { answersAboutEffect } from "../db/queries/effect-reads.ts";
import type { MovedEffect } from "../db/queries/effect-rows.ts";
import * as effects from "../db/queries/effects.ts";
import { classify } from "../domain/classify.ts";
import { isDone, isNotDone, wayOut } from "../domain/effect.ts";
import { Fatal } from "../domain/errors.ts";
import { failpoint } from "../observe/failpoint.ts";
import { takePlaces } from "./ask.ts";
import { reuse } from "./fork.ts";
import type { Ledger, Opened } from "./opened.ts";
import { prepare } from "./prepare.ts";
import { resolve } from "./resolve.ts";
import { send, unstorableCode } from "./send.ts";

/** Each dispatch takes at most: replace, send, escalate, reconcile. */
const turnsMax = 40;

/** What the call returned, now or before; or what it threw, which is its author's to handle. */
export type Performed<R> = { result: R } | { thrown: unknown; again: boolean };

export async function performOnce<R>(ledger: Ledger, opened: Opened<R>): Promise<Performed<R>> {
  const { call, intent } = opened;
  let row = await prepare(ledger, opened);
  await failpoint("effect.prepared");
  const { effect_id: effectId } = row;
  const answers = row.asked ? await answersAboutEffect(ledger.db, { effectId }) : [];
  takePlaces(call, answers);
  for (let turn = 0; turn < turnsMax; turn += 1) {
    const drifted = row.args_digest !== intent.argsDigest;
    const replaceable = isNotDone(row.state) || intent.class === "read";
    if (drifted && replaceable) {
      row = await ledger.move(() => effects.replaceArgs(ledger.db, { ...ledger.lease, ...intent }));
      continue;
    }
    if (isDone(row.state) || row.state === "compensated") return { result: resultOf(row, intent) as R };
    if (!isNotDone(row.state)) {
      const resolved = await resolve(ledger, opened, { row, answers });
      if (resolved !== "resend") {
        row = resolved.row;
        continue;
      }
    }
    const taken = await reuse(ledger, opened, row);
    if (taken !== null) {
      row = taken;
      continue;
    }
    const sent = await send(ledger, opened, row);
    row = sent.row;
    if (sent.thrown === undefined) continue;
    const { error } = sent.thrown;
    if (row.state === "failed") return { thrown: error, again: false };
    if (mayResend(opened, row)) return { thrown: error, again: classify(error).name === "Transient" };
  }
  throw new Fatal(`effect ${row.tool} did not come to an end in ${turnsMax} moves`, {
    code: "effect_exhausted",
  });
}

/** The error's own kind decides what follows, where the repeated step may just send the call again. */
function mayResend({ call }: Opened<unknown>, row: MovedEffect): boolean {
  const ageMillis = row.now.getTime() - (row.first_dispatched_at ?? row.now).getTime();
  const way = wayOut(call.declaration, { ageMillis, drifted: false });
  return way === "resend" || way === "look_then_resend";
}

function resultOf(row: MovedEffect, intent: effects.Intent): unknown {
  if (row.args_digest !== intent.argsDigest) throw otherArgs(row, intent);
  if (row.state === "compensated") {
    throw new Fatal(
      `effect ${row.tool} took place and was undone (effect ${row.effect_id}): it is not made again`,
      {
        code: "effect_compensated",
      },
    );
  }
  const { code, message } = (row.error ?? {}) as { code?: unknown; message?: unknown };
  if (code === unstorableCode)
    throw new Fatal(`it took place, but ${String(message)}`, { code: unstorableCode });
  return JSON.parse(row.result ?? "null");
}

function otherArgs(row: MovedEffect, { argsDigest, businessKey }: effects.Intent): Fatal {
  const digests = `with arguments ${row.args_digest}, and is wanted with ${argsDigest} now`;
  if (businessKey !== null) {
    return new Fatal(
      `effect ${row.tool} for ${businessKey} took place in run ${row.run_id} (effect ${row.effect_id}) ${digests}: one of the two is wrong`,
      { code: "effect_business_key_conflict" },
    );
  }
  return new Fatal(
    `effect ${row.tool} took place (effect ${row.effect_id}) ${digests}: make the step ask for the same, or fork the thread behind it`,
    { code: "effect_args_changed" },
  );
}
