import { interrupt } from "@langchain/langgraph";

/** What LangGraph keeps for a task: its answers, and which one the next question is given. */
interface Scratchpad {
  interruptCounter: number;
  resume: unknown[];
}

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
  return {
    skip(positions) {
      for (const position of positions) skipped(scratchpad).add(position);
    },
    ask(payload) {
      scratchpad.interruptCounter = Math.max(scratchpad.interruptCounter, scratchpad.resume.length - 1);
      interrupt(payload);
      throw new Error("a question about an effect found an answer that is not its own");
    },
  };
}

function skipped(scratchpad: Scratchpad): Set<number> {
  const known = skippedOf.get(scratchpad);
  if (known !== undefined) return known;
  const positions = new Set<number>();
  let at = scratchpad.interruptCounter;
  Object.defineProperty(scratchpad, "interruptCounter", {
    get: () => at,
    set(next: number) {
      at = next;
      while (positions.has(at)) at += 1;
    },
  });
  skippedOf.set(scratchpad, positions);
  return positions;
}
