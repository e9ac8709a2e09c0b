// The ledger of effects: what a run did to the world, so that it does it once. This room knows no graph and no
// HTTP. Read next: effect.ts (what authors call), perform.ts (one call), src/db/queries/effects.ts (the guarded moves).
import { EventEmitter, once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { type Fork, latestOfBusiness } from "../db/queries/effect-reads.ts";
import type { Intent } from "../db/queries/effects.ts";
import { one } from "../db/query.ts";
import { LeaseLost } from "../domain/errors.ts";
import { storable } from "../domain/text.ts";
import { checkDeclaration } from "./declared.ts";
import type { EffectCall, EffectRuntime } from "./effect.ts";
import { forkOf } from "./fork.ts";
import { businessKeyOf, keyAfter, keyOfBusiness, placeKey, readArgs } from "./key.ts";
import { type Ledger, type LedgerDeps, movesOf } from "./opened.ts";
import { type Performed, performOnce } from "./perform.ts";

/** How long an attempt that has failed waits for calls under way, so that their outcome is known. */
const idleMillisMax = 10_000;
/** How long a new call waits for an older unclear one of its task to be called too. */
const driftWaitMillisMax = 1_000;
const toolCallIdCharsMax = 500;

export interface OpenLedger extends EffectRuntime {
  /** The attempt has ended: refuses new calls, and waits for those under way. */
  idle(): Promise<void>;
  /** Whether anything was called. */
  readonly used: boolean;
}

/** The ledger of one attempt. Positions are counted for each task, execution, tool and tool call id. */
export function openEffects(deps: LedgerDeps): OpenLedger {
  const { run, write, abort } = deps;
  const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
  const calls = callsByKey();
  const ledger: Ledger = { ...deps, lease, move: movesOf(write), reached: calls.reached };
  const ordinalOf = ordinals();
  let forking: Promise<Fork | null> | undefined;
  const open = new Set<Promise<unknown>>();
  let ended = false;
  let used = false;

  const perform = async <R>(call: EffectCall, dispatch: (key: string) => Promise<R>): Promise<R> => {
    used = true;
    // Its node goes on beside one that asked or failed: what it begins now would be cut off by the end of the lease.
    // A tool under way may still end well.
    if (ended && !call.insideCall)
      throw new LeaseLost(`effect ${call.declaration.name} was called when its attempt had ended`);
    const ordinal = ordinalOf(call);
    const performed = await endingAttempt(abort, async () => {
      forking ??= forkOf(deps);
      const fork = await forking;
      const repeatedBy = fork?.effects_policy === "repeat" ? fork.run_id : null;
      const intent = await madeAgain(deps, intentOf(run, call, { ordinal, repeatedBy }));
      return calls.inTurn(intent.key, () => performOnce(ledger, { call, intent, fork, dispatch }));
    });
    if ("result" in performed) return performed.result;
    if (performed.again) abort(performed.thrown as Error);
    throw performed.thrown;
  };
  return {
    get used() {
      return used;
    },
    perform(call, dispatch) {
      const performed = perform(call, dispatch);
      open.add(performed);
      const done = (): boolean => open.delete(performed);
      performed.then(done, done);
      return performed;
    },
    async idle() {
      ended = true;
      await Promise.race([Promise.allSettled(open), sleep(idleMillisMax, undefined, { ref: false })]);
    },
  };
}

function intentOf(
  { tenant, thread_id: threadId, attempt }: LedgerDeps["run"],
  { declaration, args, taskId, toolCallId, checkpoint }: EffectCall,
  { ordinal, repeatedBy }: { ordinal: number; repeatedBy: string | null },
): Intent {
  checkDeclaration(declaration);
  const { name, version, class: kind = "at_most_once" } = declaration;
  const businessKey = businessKeyOf(declaration, args);
  return {
    ...readArgs(name, args),
    tenant,
    taskId,
    ordinal,
    tool: name,
    toolVersion: version ?? null,
    toolCallId: toolCallId === null ? null : storable(toolCallId, toolCallIdCharsMax),
    class: kind,
    key:
      businessKey === null
        ? placeKey({ tenant, threadId, taskId, toolCallId, ordinal, name, repeatedBy })
        : keyOfBusiness({ tenant, name, businessKey }),
    businessKey,
    checkpoint,
    attempt,
  };
}

/** A business key that was undone is free again: whoever starts anew makes the call anew. */
async function madeAgain({ db, write }: LedgerDeps, intent: Intent): Promise<Intent> {
  const { tenant, tool, businessKey } = intent;
  if (businessKey === null) return intent;
  const latest = one(await write(() => latestOfBusiness(db, { tenant, tool, businessKey })));
  if (latest === undefined || latest.key === null) return intent;
  return { ...intent, key: latest.state === "compensated" ? keyAfter(latest.key) : latest.key };
}

/** A tool node turns what a tool throws into a message; a question to a human is for LangGraph alone. */
async function endingAttempt<R>(
  abort: LedgerDeps["abort"],
  work: () => Promise<Performed<R>>,
): Promise<Performed<R>> {
  try {
    return await work();
  } catch (error) {
    if (!isGraphBubbleUp(error)) abort(error as Error);
    throw error;
  }
}

function ordinals(): (call: EffectCall) => number {
  const positions = new Map<string, number>();
  return ({ taskId, execution, declaration, toolCallId }) => {
    const place = JSON.stringify([taskId, execution, declaration.name, toolCallId]);
    const position = positions.get(place) ?? 0;
    positions.set(place, position + 1);
    return position;
  };
}

/** The calls of one attempt: those with the same key one after another, and who waits for a key to be called. */
function callsByKey() {
  const latest = new Map<string, Promise<unknown>>();
  const arrivals = new EventEmitter().setMaxListeners(0);
  return {
    inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
      const before = latest.get(key) ?? Promise.resolve();
      const mine = before.then(work, work);
      latest.set(key, mine);
      arrivals.emit(key);
      return mine;
    },
    async reached(key: string): Promise<PromiseSettledResult<unknown> | undefined> {
      if (!latest.has(key)) {
        const signal = AbortSignal.timeout(driftWaitMillisMax);
        await once(arrivals, key, { signal }).catch(() => undefined);
      }
      const call = latest.get(key);
      return call === undefined ? undefined : (await Promise.allSettled([call]))[0];
    },
  };
}
