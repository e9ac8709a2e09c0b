import { isKnown } from "./good.ts";

const perKindMax = 60;
const idMax = 200;
const visitsMax = 5_000;
const nobody = "5f0e2f6c-0000-4000-8000-000000000000";
const kinds = new Set([
  "thread_id",
  "run_id",
  "assistant_id",
  "cron_id",
  "delivery_id",
  "escalation_id",
  "checkpoint_id",
  "interrupt_id",
  "fingerprint",
]);

/** Ids that answers have told of. */
export class Pool {
  readonly #ids = new Map<string, string[]>();
  /** Of runs and checkpoints. */
  readonly #threads = new Map<string, string>();
  #seen = 0;

  /** A plan with ids that exist in place of what stands for them. */
  filled(value: unknown): unknown {
    if (isKnown(value)) {
      const ids = this.#ids.get(value["known id"]) ?? [];
      return ids[value.n % Math.max(1, ids.length)] ?? nobody;
    }
    if (Array.isArray(value)) return value.map((item) => this.filled(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.filled(inner)]));
  }

  /** Mostly a run or a checkpoint is asked for on its own thread. */
  parameters<P extends { parameter: { name: string }; value: unknown }>(
    planned: readonly P[],
  ): (P & { filled: unknown })[] {
    const filled = planned.map((one) => ({ ...one, filled: this.filled(one.value) }));
    const owner = filled
      .map((one) => (typeof one.filled === "string" ? this.#threads.get(one.filled) : undefined))
      .find((thread) => thread !== undefined);
    return filled.map((one) =>
      one.parameter.name === "thread_id" && owner !== undefined && isKnown(one.value) && one.value.n % 5 !== 0
        ? { ...one, filled: owner }
        : one,
    );
  }

  learn(answer: unknown): void {
    const open = [answer];
    for (let visits = 0; open.length > 0 && visits < visitsMax; visits += 1) {
      const value = open.pop();
      if (typeof value !== "object" || value === null) continue;
      const { thread_id: thread, run_id: run, checkpoint_id: checkpoint } = value as Record<string, unknown>;
      // Of all that tell of a run only a dead letter gives advice.
      if (typeof run === "string" && "advice" in value) this.#add("dead run_id", run);
      // Those of langgraph.json cannot be changed.
      const { assistant_id: assistant, version, metadata } = value as Record<string, unknown>;
      const system = (metadata as { created_by?: unknown } | undefined)?.created_by === "system";
      if (typeof assistant === "string" && typeof version === "number" && !system)
        this.#add("own assistant_id", assistant);
      for (const id of [run, checkpoint])
        if (typeof id === "string" && typeof thread === "string") this.#threads.set(id, thread);
      for (const [key, inner] of Object.entries(value)) {
        if (kinds.has(key) && typeof inner === "string" && inner.length < idMax) this.#add(key, inner);
        else open.push(inner);
      }
    }
  }

  /** What was deleted: to ask for it once more says no more than to ask for what never was. */
  forget(id: string): void {
    for (const [kind, ids] of this.#ids)
      this.#ids.set(
        kind,
        ids.filter((known) => known !== id),
      );
  }

  #add(kind: string, id: string): void {
    const ids = this.#ids.get(kind) ?? [];
    this.#ids.set(kind, ids);
    if (ids.includes(id)) return;
    this.#seen += 1;
    if (ids.length < perKindMax) ids.push(id);
    else ids[this.#seen % perKindMax] = id;
  }
}
