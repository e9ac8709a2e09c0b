import { Refused } from "./errors.ts";

/** Counts the open event streams of each caller. Each process counts for itself. */
export class StreamSlots {
  readonly #perCallerMax: number;
  readonly #open = new Map<string, number>();

  /** 0 is no limit. */
  constructor(perCallerMax: number) {
    this.#perCallerMax = perCallerMax;
  }

  /** Gives the function that gives the slot back. Throws a 429. */
  take(caller: string): () => void {
    if (this.#perCallerMax === 0) return () => undefined;
    const open = this.#open.get(caller) ?? 0;
    if (open >= this.#perCallerMax) {
      throw new Refused(429, `Too many open streams: ${open} are the most for one key, user or address`, {
        headers: { "retry-after": "1" },
      });
    }
    this.#open.set(caller, open + 1);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      const left = (this.#open.get(caller) ?? 1) - 1;
      if (left === 0) this.#open.delete(caller);
      else this.#open.set(caller, left);
    };
  }
}
