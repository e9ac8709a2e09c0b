import { setTimeout as sleep } from "node:timers/promises";

const pollMs = 25;
const waitMsMax = 60_000;

/** What an act promised, and what was counted where it cannot be argued with. */
export interface Promised {
  what: string;
  expected: string;
  counted: string;
  /** Where it is not simply that both are equal. */
  kept?: boolean;
}

export interface Escalation {
  escalation_id: string;
  status: string;
  reasons: { code: string; message: string }[];
  payload: { description: string }[];
}

export const say = (text = ""): void => console.log(text);

/** Looks until it is so; throws after a minute. */
export async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMsMax;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`waited ${waitMsMax / 1000} s for ${what}`);
    await sleep(pollMs);
  }
}
