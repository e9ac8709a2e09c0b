import { interrupt } from "@langchain/langgraph";
import { RESUME } from "@langchain/langgraph-checkpoint";

/** What LangGraph keeps for a task: its answers, and which one the next question is given. */
interface Scratchpad {
  interruptCounter: number;
  resume: unknown[];
}

type Send = (writes: [string, unknown][]) => void;

const skippedOf = new WeakMap<Scratchpad, Set<number>>();

/**
 * A task's questions share one list of answers, by position. Those about an effect are known by the effect, and
 * come between questions that the node's own code asks, so they are taken out of that code's count.
 */
export interface Places {
  /** The task's own questions pass over these positions. */
  skip(positions: readonly number[]): void;
  /** Throws LangGraph's interrupt at the first position that has no answer. */
  ask(payload: unknown): never;
}

export function placesOf(configurable: Record<string, unknown>): Places {
  const scratchpad = configurable.__pregel_scratchpad as Scratchpad;
  const send = configurable.__pregel_send as Send;
  // A task that parks again keeps the answers it says it has used: without these, the next would take their place.
  const used = (answers: number): void => {
    if (answers > 0) send([[RESUME, scratchpad.resume.slice(0, answers)]]);
  };
  return {
    skip(positions) {
      for (const position of positions) skipped(scratchpad, used).add(position);
    },
    ask(payload) {
      used(scratchpad.resume.length);
      scratchpad.interruptCounter = Math.max(scratchpad.interruptCounter, scratchpad.resume.length - 1);
      interrupt(payload);
      throw new Error("a question about an effect found an answer that is not its own");
    },
  };
}

function skipped(scratchpad: Scratchpad, used: (answers: number) => void): Set<number> {
  const known = skippedOf.get(scratchpad);
  if (known !== undefined) return known;
  const positions = new Set<number>();
  let at = scratchpad.interruptCounter;
  Object.defineProperty(scratchpad, "interruptCounter", {
    get: () => at,
    set(next: number) {
      at = next;
      while (positions.has(at)) at += 1;
      if (at !== next) used(at);
    },
  });
  skippedOf.set(scratchpad, positions);
  return positions;
}
