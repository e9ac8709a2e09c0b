// The ledger of effects: what a run did to the world, so that it does it once. This room knows no graph and no
// HTTP. Read next: effect.ts (what authors call), src/db/queries/effects.ts (the guarded moves).
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import canonicalize from "canonicalize";
import type { Database } from "../db/pool.ts";
import { getCheckpointId } from "../db/queries/checkpoint-reads.ts";
import * as effects from "../db/queries/effects.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { Fatal, LeaseLost } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { storable } from "../domain/text.ts";
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

const messageCharsMax = 4_000;
/** How long an attempt that has failed waits for calls under way, so that their outcome is known. */
const idleMillisMax = 10_000;

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The ledger of one attempt. Positions are counted for each task and tool, in the order of the calls. */
export function openEffects({ db, run, write, abort }: Deps): EffectRuntime & { idle(): Promise<void> } {
  const positions = new Map<string, number>();
  const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
  const next = (call: EffectCall): number => {
    const place = `${call.taskId}|${call.execution}|${call.declaration.name}`;
    const position = positions.get(place) ?? 0;
    positions.set(place, position + 1);
    return position;
  };
  const perform = async <R>(call: EffectCall, dispatch: (key: string) => Promise<R>): Promise<R> => {
    const ordinal = next(call);
    await orAbort(abort, () => checkpointed({ db, run }, call));
    const key = sha256([run.tenant, run.thread_id, call.taskId, ordinal, call.declaration.name].join("|"));
    const args = canonicalize(call.args ?? null) ?? "null";
    const argsDigest = sha256(args);
    const told = {
      tenant: run.tenant,
      taskId: call.taskId,
      ordinal,
      tool: call.declaration.name,
      key,
      argsDigest,
      args,
    };
    const prepare = () => effects.prepareEffect(db, { ...lease, effectId: newId(), ...told });
    // Twice: when a repeated statement waited for its own first try, its snapshot does not show that row yet.
    const row = held(one(await prepareAgain(write, prepare)));
    await failpoint("effect.prepared");
    const earlier = await orAbort(abort, async () => resultOf(row, call, argsDigest));
    if (earlier !== undefined) return earlier.result as R;
    held(one(await write(() => effects.dispatchEffect(db, { ...lease, key }))));
    await failpoint("effect.dispatched");
    return settleAfter({ db, lease, key, write }, dispatch);
  };
  const open = new Set<Promise<unknown>>();
  return {
    perform(call, dispatch) {
      const performed = perform(call, dispatch);
      open.add(performed);
      const done = (): boolean => open.delete(performed);
      performed.then(done, done);
      return performed;
    },
    async idle() {
      await Promise.race([Promise.allSettled(open), sleep(idleMillisMax, undefined, { ref: false })]);
    },
  };
}

type Write = Deps["write"];

function prepareAgain(
  write: Write,
  prepare: () => Promise<effects.EffectRow[]>,
): Promise<effects.EffectRow[]> {
  return write(async () => {
    const rows = await prepare();
    return rows.length > 0 ? rows : prepare();
  });
}

/** A task of a subgraph without a checkpointer gets another id when it is repeated, and so would its effects. */
async function checkpointed(
  { db, run }: Pick<Deps, "db" | "run">,
  { checkpoint, declaration: { name } }: EffectCall,
): Promise<void> {
  const { ns, id: checkpointId } = checkpoint;
  const found = await getCheckpointId(db, { threadId: run.thread_id, ns, checkpointId });
  if (found.length > 0) return;
  throw new Fatal(
    `effect ${name} sits in a subgraph without a checkpointer: compile it without "checkpointer: false"`,
    {
      code: "effect_needs_checkpointer",
    },
  );
}

/** The stored result of a call that has taken place; undefined when it is to be made. Throws when a human must look. */
function resultOf(
  row: effects.EffectRow,
  call: EffectCall,
  argsDigest: string,
): { result: unknown } | undefined {
  if (row.args_digest !== argsDigest) {
    throw new Fatal(
      `effect ${call.declaration.name} was prepared with other arguments before: it is not sent again`,
      {
        code: "effect_args_changed",
      },
    );
  }
  if (row.state === "succeeded") return { result: JSON.parse(row.result ?? "null") };
  if (row.state === "prepared" || call.declaration.class === "idempotent") return undefined;
  throw new Fatal(`effect ${call.declaration.name} may have taken place before a crash: somebody must look`, {
    code: "effect_unknown",
  });
}

async function orAbort<R>(abort: Deps["abort"], look: () => Promise<R>): Promise<R> {
  try {
    return await look();
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
    await settle("unknown", null, { message: storable(classify(error).message, messageCharsMax) });
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
