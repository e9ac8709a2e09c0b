// Before a call is sent: its row, and whether this run may have it.
import { setTimeout as sleep } from "node:timers/promises";

import type { MovedEffect } from "../db/queries/effect-rows.ts";
import type { OlderIntent, Prepared } from "../db/queries/effects.ts";
import * as effects from "../db/queries/effects.ts";
import { one } from "../db/query.ts";
import { isDone } from "../domain/effect.ts";
import { EffectUnsettled, Fatal } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { isTerminal } from "../domain/run.ts";
import { held, type Ledger, type Opened } from "./opened.ts";

/** A repeated statement that waited for its own first try does not see that row; another run may be faster. */
const preparesMax = 20;
/** How long a run that wants a business key waits before it looks whether the run that has it is done. */
export const ownerWaitMillis = 2_000;

/** The first tasks of a fork start while their checkpoint is still being written. */
const checkpointMillisMax = 1_000;
const checkpointLookMillis = 20;

/** The row of a call, held by this run. */
export async function prepare(ledger: Ledger, { intent, call }: Opened<unknown>): Promise<MovedEffect> {
  const { db, lease } = ledger;
  const deadline = Date.now() + checkpointMillisMax;
  let refused: PromiseRejectedResult | undefined;
  for (let tries = 0; tries < preparesMax; tries += 1) {
    const effectId = newId();
    const statement = (): Promise<Prepared[]> => effects.prepareEffect(db, { ...lease, ...intent, effectId });
    const found = held(one(await ledger.write(statement)));
    if (!found.checkpointed) {
      if (Date.now() > deadline) throw needsCheckpointer(intent.tool);
      await sleep(checkpointLookMillis);
      tries -= 1;
      continue;
    }
    const row = found.row === null ? null : await own(ledger, intent, { ...found, row: found.row });
    if (row !== null) return row;
    if (found.older.length === 0) continue;
    if (refused !== undefined) throw refused.reason;
    if (tries > 0) throw drifted(call.declaration.name, found.older);
    refused = await olderCalls(ledger, found.older, call.declaration.name);
  }
  throw new EffectUnsettled(`effect ${intent.tool} is wanted by many runs at once`, {
    waitMs: ownerWaitMillis,
  });
}

/** A task of a subgraph without a checkpointer gets another id when it is repeated, and so would its effects. */
const needsCheckpointer = (tool: string): Fatal =>
  new Fatal(
    `effect ${tool} sits in a subgraph without a checkpointer: compile it without "checkpointer: false"`,
    {
      code: "effect_needs_checkpointer",
    },
  );

/** Waits for the calls that an earlier attempt left unclear to be made again; what one of them threw, if it did. */
async function olderCalls(
  ledger: Ledger,
  older: OlderIntent[],
  tool: string,
): Promise<PromiseRejectedResult | undefined> {
  const ends = await Promise.all(older.map(({ key }) => ledger.reached(key)));
  if (ends.includes(undefined)) throw drifted(tool, older);
  return ends.find((end) => end?.status === "rejected");
}

/** Only its own step knows how an unclear call is cleared up, and that step asks for something else now. */
function drifted(tool: string, older: OlderIntent[]): Fatal {
  const calls = older.map((intent) => `${intent.tool} (effect ${intent.effect_id})`).join(", ");
  return new Fatal(
    `effect ${tool} is not sent: an earlier attempt of its step called ${calls}, which may have taken place and is not called any more: look there first`,
    { code: "effect_drifted" },
  );
}

/** A row with a business key may be another call's or another run's. Null when that run took it back meanwhile. */
async function own(
  { db, lease, write }: Ledger,
  intent: effects.Intent,
  { row, ownerStatus, undoing, askedElsewhere }: Prepared & { row: MovedEffect },
): Promise<MovedEffect | null> {
  if (row.business_key === null || row.state === "compensated") return row;
  const name = `effect ${row.tool} for ${row.business_key}`;
  const ownerOpen = row.run_id !== lease.runId && ownerStatus !== null && !isTerminal(ownerStatus);
  // What a run may still undo, another one must not build upon.
  const undoable = row.class === "compensatable" && row.run_id !== lease.runId;
  const settled = isDone(row.state) || (row.run_id === lease.runId && row.task_id === intent.taskId);
  if (settled && !(undoable && (ownerOpen || undoing))) return row;
  if (ownerOpen || undoing)
    throw new EffectUnsettled(`${name} is in the hands of run ${row.run_id}`, { waitMs: ownerWaitMillis });
  if (askedElsewhere !== null) {
    throw new Fatal(
      `${name} may have taken place: escalation ${askedElsewhere} asks, answer it and redrive`,
      {
        code: "effect_unknown",
      },
    );
  }
  const taken = await write(() => effects.takeOverEffect(db, { ...lease, ...intent, from: row }));
  return held(one(taken)).row;
}
