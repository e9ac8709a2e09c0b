// The ledger of effects: what a run did to the world, so that it does it once. This room knows no graph and no
// HTTP. Read next: effect.ts (what authors call), src/db/queries/effects.ts (the guarded moves).
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import type { Database } from "../db/pool.ts";
import * as effects from "../db/queries/effects.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { Fatal, LeaseLost } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { failpoint } from "../observe/failpoint.ts";
import type { EffectCall, EffectRuntime } from "./effect.ts";

interface Deps {
  db: Database;
  run: RunRow;
  /** Repeats a statement while the database is away. */
  write: <T>(statement: () => Promise<T>) => Promise<T>;
  /** Ends the attempt: a tool node turns what a tool throws into a message, and the model would try again. */
  abort: (error: Error) => void;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The ledger of one attempt. Positions are counted for each task and tool, in the order of the calls. */
export function openEffects({ db, run, write, abort }: Deps): EffectRuntime {
  const positions = new Map<string, number>();
  const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
  const next = (call: EffectCall): number => {
    const position = positions.get(`${call.taskId}|${call.name}`) ?? 0;
    positions.set(`${call.taskId}|${call.name}`, position + 1);
    return position;
  };
  return {
    async perform(call, dispatch) {
      const ordinal = next(call);
      const key = sha256([run.tenant, run.thread_id, call.taskId, ordinal, call.name].join("|"));
      const args = canonicalize(call.args ?? null) ?? "null";
      const argsDigest = sha256(args);
      const told = {
        tenant: run.tenant,
        taskId: call.taskId,
        ordinal,
        tool: call.name,
        key,
        argsDigest,
        args,
      };
      const row = held(
        one(await write(() => effects.prepareEffect(db, { ...lease, effectId: newId(), ...told }))),
      );
      await failpoint("effect.prepared");
      const earlier = orAbort(abort, () => resultOf(row, call, argsDigest));
      if (earlier !== undefined) return earlier.result as never;
      held(one(await write(() => effects.dispatchEffect(db, { ...lease, key }))));
      await failpoint("effect.dispatched");
      return settleAfter({ db, lease, key, write }, dispatch);
    },
  };
}

/** The stored result of a call that has taken place; undefined when it is to be made. Throws when a human must look. */
function resultOf(
  row: effects.EffectRow,
  call: EffectCall,
  argsDigest: string,
): { result: unknown } | undefined {
  if (row.args_digest !== argsDigest) {
    throw new Fatal(`effect ${call.name} was prepared with other arguments before: it is not sent again`, {
      code: "effect_args_changed",
    });
  }
  if (row.state === "succeeded") return { result: JSON.parse(row.result ?? "null") };
  if (row.state === "prepared" || call.onUnknown === "resend") return undefined;
  throw new Fatal(`effect ${call.name} may have taken place before a crash: somebody must look`, {
    code: "effect_unknown",
  });
}

function orAbort<R>(abort: Deps["abort"], look: () => R): R {
  try {
    return look();
  } catch (error) {
    abort(error as Error);
    throw error;
  }
}

interface Dispatched extends Pick<Deps, "db" | "write"> {
  lease: { runId: string; threadId: string; epoch: number };
  key: string;
}

async function settleAfter<R>(
  { db, lease, key, write }: Dispatched,
  dispatch: (key: string) => Promise<R>,
): Promise<R> {
  const settle = (
    state: "succeeded" | "unknown",
    result: string | null,
    error: unknown,
  ): Promise<effects.EffectRow[]> =>
    write(() => effects.settleEffect(db, { ...lease, key, state, result, error }));
  let result: R;
  try {
    result = await dispatch(key);
  } catch (error) {
    await settle("unknown", null, { message: classify(error).message });
    throw error;
  }
  await failpoint("effect.performed");
  held(one(await settle("succeeded", JSON.stringify(result ?? null), null)));
  await failpoint("effect.succeeded");
  return result;
}

function held(row: effects.EffectRow | undefined): effects.EffectRow {
  if (row === undefined) throw new LeaseLost("an effect was refused: the lease has moved on");
  return row;
}
