import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import type { Looked } from "../../src/domain/effect.ts";
import { effect } from "../../src/effects/effect.ts";

/**
 * The outside world of a trip: it honours keys, and keeps a log of its own of what really took place. Tests judge by
 * this log, never by our tables.
 */
export class World {
  /** What took place, in order: `book hotel`, `cancel hotel`. */
  readonly log: string[] = [];
  /** Every call that arrived, repeated ones too. */
  readonly calls: string[] = [];
  readonly #answers = new Map<string, unknown>();

  act(deed: string, key: string): { deed: string; receipt: string } {
    this.calls.push(deed);
    const known = this.#answers.get(key) as { deed: string; receipt: string } | undefined;
    if (known !== undefined) return known;
    this.log.push(deed);
    const answer = { deed, receipt: `${deed} ${key.slice(0, 8)}` };
    this.#answers.set(key, answer);
    return answer;
  }

  lookup(key: string): Looked {
    const result = this.#answers.get(key);
    return result === undefined ? { found: false } : { found: true, result };
  }
}

export const stops = ["flight", "hotel", "car"] as const;

const TripState = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  /** Whose trip: told to the world with each deed. */
  who: Annotation<string>(),
});

export interface TripChoices {
  world: World;
  /** After the last booking. */
  last?: (state: { who?: string }) => unknown;
  /** Before the world cancels a booking. */
  onCancel?: (tool: string) => unknown;
  lookup?: boolean;
  compensateClass?: "idempotent" | "natural" | "at_most_once";
}

/** Three bookings that can be cancelled, one after the other, then `last`. */
export function tripGraph({ world, last, onCancel, lookup = true, compensateClass }: TripChoices) {
  const book =
    (tool: string) =>
    async ({ who }: { who?: string }) => {
      const of = who === undefined ? "" : ` of ${who}`;
      await effect(
        {
          name: tool,
          args: { of },
          class: "compensatable",
          ...(compensateClass === undefined ? {} : { compensateClass }),
          ...(lookup ? { lookup: async (key: string) => world.lookup(key) } : {}),
          compensate: async (done: { args: { of: string } }, key: string) => {
            await onCancel?.(tool);
            return world.act(`cancel ${tool}${done.args.of}`, key);
          },
        },
        async (key) => world.act(`book ${tool}${of}`, key),
      );
      return { log: [tool] };
    };
  return new StateGraph(TripState)
    .addNode("flight", book("flight"))
    .addNode("hotel", book("hotel"))
    .addNode("car", book("car"))
    .addNode("last", async (state) => {
      await last?.(state);
      return { log: ["last"] };
    })
    .addEdge(START, "flight")
    .addEdge("flight", "hotel")
    .addEdge("hotel", "car")
    .addEdge("car", "last")
    .addEdge("last", END)
    .compile();
}

export const booked = (of = ""): string[] => stops.map((tool) => `book ${tool}${of}`);
export const cancelled = (of = ""): string[] => [...stops].reverse().map((tool) => `cancel ${tool}${of}`);
