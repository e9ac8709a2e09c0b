import { createHash } from "node:crypto";

/** A small generator with a seed (mulberry32): the same kills in the same order. */
export function dice(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** In [0, 1), from what is asked and not from when: the same whatever order requests arrive in. */
export const drawFor = (...parts: (string | number)[]): number =>
  createHash("sha256").update(parts.join("|")).digest().readUInt32BE() / 2 ** 32;
