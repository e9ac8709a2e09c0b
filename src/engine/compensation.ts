import * as compensations from "../db/queries/compensations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { Fatal } from "../domain/errors.ts";
import { type CompensationDeps, compensateEffect } from "../effects/compensation.ts";
import { declarationOf } from "../effects/declared.ts";
import { declarationsOf } from "../nodes/tool-declaration.ts";
import { failpoint } from "../observe/failpoint.ts";
import { announce } from "./announce.ts";
import type { AttemptDeps, AttemptEnd, AttemptSignals } from "./attempt.ts";
import { toWire } from "./wire.ts";

const stepsMax = 10_000;

/**
 * One attempt of a compensation: undoes what a run did, the last effect first. What is undone is marked in the
 * statement that settles it, so another attempt goes on where this one ended. A throw is the caller's to decide about.
 */
export async function runCompensation(
  { db, registry }: AttemptDeps,
  run: RunRow,
  { signal, control, events, write }: AttemptSignals,
): Promise<AttemptEnd> {
  await failpoint("compensation.begun");
  // Its tools and its modules declare how their effects are undone; a graph made by a function declares more then.
  const graph = await registry.open(run.graph_id, { configurable: run.kwargs.config?.configurable ?? {} });
  const declared = declarationsOf(graph);
  await announce({ db, graph, events }, run);
  const deps: CompensationDeps = { db, run, signal, write: (statement) => write("effect", statement) };
  const work = { runId: run.compensates ?? "", threadId: run.thread_id };
  for (let n = 0; n < stepsMax; n++) {
    if (control.drainRequested) return { outcome: { kind: "released" }, finalEvents: await events.finish() };
    signal.throwIfAborted();
    const effect = one(await write("read", () => compensations.nextToCompensate(db, work)));
    if (effect === undefined) {
      await failpoint("compensation.settled");
      return { outcome: { kind: "compensated" }, finalEvents: await events.finish() };
    }
    const outcome = await compensateEffect(deps, effect, declarationOf(effect.tool, declared));
    const { effect_id, tool } = effect;
    events.ready({
      event: "custom",
      data: toWire({ compensation: { effect_id, tool, outcome } }),
      step: null,
    });
  }
  throw new Fatal(`a compensation undoes at most ${stepsMax} effects`, { code: "compensation_stuck" });
}
