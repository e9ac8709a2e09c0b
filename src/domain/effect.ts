/**
 * What a tool does to the world, and so what may be done when nobody knows whether a call took place:
 * - `read` changes nothing: it is called again.
 * - `idempotent` honours the key it is given: it is sent again with the same one.
 * - `queryable` can be looked up by the key.
 * - `natural` names what it makes (a PUT, an upsert): a second call makes the same thing.
 * - `at_most_once` can do none of these: a human is asked.
 * - `compensatable` can be undone; when unclear it is settled by what else it declares, else by a human.
 */
export const effectClasses = [
  "read",
  "idempotent",
  "queryable",
  "natural",
  "at_most_once",
  "compensatable",
] as const;
export type EffectClass = (typeof effectClasses)[number];

export const effectStates = [
  "prepared",
  "dispatched",
  "succeeded",
  "failed",
  "unknown",
  "reconciled_done",
  "reconciled_absent",
  "escalated",
  "compensated",
] as const;
export type EffectState = (typeof effectStates)[number];

/** What looking a call up found. A `result` is returned as if the call had. */
export type Looked = { found: true; result?: unknown } | { found: false };

/** A finished call, as given to the function that undoes it. */
export interface Settled<A, R> {
  args: A;
  result: R;
  /** The key the call was made with. */
  key: string;
}

/**
 * What the author of a tool says about it. `name` is unique within a graph: a compensation, which may run in
 * another process days later, finds its function by it.
 */
export interface EffectDeclaration<A = never, R = unknown> {
  name: string;
  /** `at_most_once` where nothing is said: the only class that is safe for every tool. */
  class?: EffectClass;
  /** Shown in the ledger. */
  version?: string;
  /** Whether a call with this key took place. For `queryable`, and any other class that can be asked. */
  lookup?: (key: string, args: A) => Promise<Looked>;
  /** Undoes a finished call; `key` is this compensation's own idempotency key. */
  compensate?: (done: Settled<A, R>, key: string) => Promise<unknown>;
  /** What `compensate` itself does when its answer is lost: `idempotent`, honouring its key, where nothing is said. */
  compensateClass?: "idempotent" | "natural" | "at_most_once";
  /** What the call is about in the business (an invoice number): protects across runs, threads and redrives. */
  keyOf?: (args: A) => string;
  /** How long the other side remembers a key; later a human is asked. 24 hours where nothing is said. */
  keyLifetimeSeconds?: number;
}

/** Which state may follow which, under the lease of a run. SQL guards every move by this table. */
export const nextEffectStates: Readonly<Record<EffectState, readonly EffectState[]>> = {
  // Arguments that never reached the world may be replaced; a fork may take the result of an earlier pass.
  prepared: ["prepared", "dispatched", "succeeded"],
  dispatched: [
    "dispatched",
    "succeeded",
    "failed",
    "unknown",
    "reconciled_done",
    "reconciled_absent",
    "escalated",
  ],
  unknown: ["dispatched", "unknown", "reconciled_done", "reconciled_absent", "escalated"],
  failed: ["prepared", "dispatched"],
  reconciled_absent: ["prepared", "dispatched"],
  escalated: ["escalated", "reconciled_done", "reconciled_absent"],
  succeeded: ["compensated"],
  reconciled_done: ["compensated"],
  compensated: [],
};

/** The states that a move to `state` may start from. */
export const statesBefore = (state: EffectState): EffectState[] =>
  effectStates.filter((before) => nextEffectStates[before].includes(state));

/** The call took place, and its result is stored. */
export const isDone = (state: EffectState): boolean => state === "succeeded" || state === "reconciled_done";

/** The call has not taken place: it may be sent, also with other arguments. */
export const isNotDone = (state: EffectState): boolean =>
  state === "prepared" || state === "failed" || state === "reconciled_absent";

/** Nobody knows yet, or a human is asked. */
export const unclearStates = ["dispatched", "unknown", "escalated"] as const satisfies EffectState[];

export const keyLifetimeSecondsDefault = 86_400;
/** When a call is looked up, after it was last sent; found at neither time, it did not take place. */
export const lookMillis = [5_000, 60_000] as const;
/** How often one run sends a call. */
export const dispatchesMax = 5;

/** What clears up a call that may have taken place. */
export type WayOut = "resend" | "look_then_resend" | "look" | "ask";

export interface Unclear {
  /** Milliseconds since the first call with this key. */
  ageMillis: number;
  /** The repeated step wants other arguments: sending them would be another call. */
  drifted: boolean;
}

export function wayOut(declaration: EffectDeclaration, unclear: Unclear): WayOut {
  const { class: kind = "at_most_once", lookup } = declaration;
  const looked = lookup === undefined ? "ask" : "look";
  if (kind === "read") return "resend";
  if (unclear.drifted) return looked;
  if (kind === "natural") return lookup === undefined ? "resend" : "look_then_resend";
  if (kind === "queryable") return looked;
  const honoursKeys =
    kind === "idempotent" || (kind === "compensatable" && declaration.keyLifetimeSeconds !== undefined);
  if (!honoursKeys) return kind === "compensatable" ? looked : "ask";
  const lifetimeMillis = (declaration.keyLifetimeSeconds ?? keyLifetimeSecondsDefault) * 1_000;
  return unclear.ageMillis < lifetimeMillis ? "resend" : looked;
}
