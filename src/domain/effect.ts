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
