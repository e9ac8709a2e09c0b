// What became of a call that may have taken place: found out by its class, never by sending it blindly again.
import type { AnsweredQuestion } from "../db/queries/effect-reads.ts";
import type { MovedEffect } from "../db/queries/effect-rows.ts";
import * as effects from "../db/queries/effects.ts";
import { type Looked, lookMillis, wayOut } from "../domain/effect.ts";
import { EffectUnsettled } from "../domain/errors.ts";
import { failpoint } from "../observe/failpoint.ts";
import { askWhetherDone, verdictOf } from "./ask.ts";
import type { Ledger, Opened } from "./opened.ts";
import { stored } from "./send.ts";

/** A row that is clear now, or the word that the call may be sent again as it was. */
export type Resolved = { row: MovedEffect } | "resend";

export async function resolve(
  ledger: Ledger,
  { call, intent }: Opened<unknown>,
  { row, answers }: { row: MovedEffect; answers: readonly AnsweredQuestion[] },
): Promise<Resolved> {
  if (row.state === "escalated") return { row: await askAbout(ledger, call, { row, answers }) };
  const ageMillis = row.now.getTime() - (row.first_dispatched_at ?? row.now).getTime();
  const way = wayOut(call.declaration, { ageMillis, drifted: row.args_digest !== intent.argsDigest });
  if (way === "resend") return "resend";
  if (way === "look") return { row: await lookInTime(ledger, call, row) };
  if (way === "ask") return { row: await askAbout(ledger, call, { row, answers }) };
  const looked = await lookUp(call, row);
  return looked.found ? { row: await reconcile(ledger, row, { done: true, ...looked }) } : "resend";
}

/** The call may show only after a while: it is looked up twice, and the attempt ends in between. */
async function lookInTime(
  ledger: Ledger,
  call: Opened<unknown>["call"],
  row: MovedEffect,
): Promise<MovedEffect> {
  const { db, lease } = ledger;
  const sinceMillis = row.now.getTime() - (row.dispatched_at ?? row.now).getTime();
  const [, last] = lookMillis;
  const dueMillis = row.looks === 0 ? lookMillis[0] : last;
  if (sinceMillis < dueMillis) {
    if (row.state === "dispatched") await mark(ledger, row, "unknown");
    throw unsettled(row, dueMillis - sinceMillis);
  }
  const looked = await lookUp(call, row);
  await failpoint("effect.looked");
  if (looked.found) return reconcile(ledger, row, { done: true, ...looked });
  const { key, looks } = row;
  const seen = await ledger.move(() => effects.lookedAtEffect(db, { ...lease, key, looks }));
  if (sinceMillis >= last) return reconcile(ledger, seen, { done: false });
  throw unsettled(row, last - sinceMillis);
}

const unsettled = ({ tool }: MovedEffect, waitMs: number): EffectUnsettled =>
  new EffectUnsettled(`whether effect ${tool} took place is looked up again`, { waitMs });

/** With the arguments it was sent with, which a repeated step may have changed. */
const lookUp = async ({ declaration }: Opened<unknown>["call"], row: MovedEffect): Promise<Looked> =>
  (await declaration.lookup?.(row.key, JSON.parse(row.args) as never)) ?? { found: false };

async function askAbout(
  ledger: Ledger,
  call: Opened<unknown>["call"],
  { row, answers }: { row: MovedEffect; answers: readonly AnsweredQuestion[] },
): Promise<MovedEffect> {
  const asked = row.state === "escalated" ? row : await mark(ledger, row, "escalated");
  const verdict = verdictOf(asked, answers);
  return verdict === null ? askWhetherDone(call, asked, answers) : reconcile(ledger, asked, verdict);
}

async function mark(
  { db, lease, move, metrics }: Ledger,
  { key, class: kind }: MovedEffect,
  state: "unknown" | "escalated",
): Promise<MovedEffect> {
  const row = await move(() =>
    effects.resolveEffect(db, { ...lease, key, state, result: null, error: null }),
  );
  metrics.effects.inc({ class: kind, state });
  await failpoint(`effect.${state}`);
  return row;
}

async function reconcile(
  { db, lease, move, metrics }: Ledger,
  { key, tool, class: kind }: MovedEffect,
  found: { done: boolean; result?: unknown },
): Promise<MovedEffect> {
  const state = found.done ? "reconciled_done" : "reconciled_absent";
  const how = found.done ? stored(tool, found.result) : { result: null, error: null };
  const row = await move(() => effects.resolveEffect(db, { ...lease, key, state, ...how }));
  metrics.effects.inc({ class: kind, state });
  await failpoint("effect.reconciled");
  return row;
}
