import { setTimeout as sleep } from "node:timers/promises";
import {
  Annotation,
  END,
  interrupt,
  type LangGraphRunnableConfig,
  START,
  StateGraph,
} from "@langchain/langgraph";

const State = Annotation.Root({
  seen: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
  answer: Annotation<unknown>(),
});

/** Two steps, each with an event of its own. */
export const steps = new StateGraph(State)
  .addNode("one", (_state, config: LangGraphRunnableConfig) => {
    config.writer?.({ note: "from one" });
    return { seen: ["one"] };
  })
  .addNode("two", (_state, config: LangGraphRunnableConfig) => {
    config.writer?.("from two");
    return { seen: ["two"] };
  })
  .addEdge(START, "one")
  .addEdge("one", "two")
  .addEdge("two", END)
  .compile();

const innermost = new StateGraph(State)
  .addNode("deep", (_state, config: LangGraphRunnableConfig) => {
    config.writer?.({ note: "from the deep" });
    return { seen: ["deep"], answer: interrupt({ question: "how deep?" }) };
  })
  .addEdge(START, "deep")
  .addEdge("deep", END)
  .compile();

const middle = new StateGraph(State)
  .addNode("before", () => ({ seen: ["before"] }))
  .addNode("inner", innermost)
  .addEdge(START, "before")
  .addEdge("before", "inner")
  .addEdge("inner", END)
  .compile();

/** A question two subgraphs deep. */
export const nested = new StateGraph(State)
  .addNode("outer", middle)
  .addNode("last", () => ({ seen: ["last"] }))
  .addEdge(START, "outer")
  .addEdge("outer", "last")
  .addEdge("last", END)
  .compile();

/** Two questions at once, each of a node of its own. */
export const twins = new StateGraph(State)
  .addNode("left", () => ({ seen: [`left ${interrupt("left?")}`] }))
  .addNode("right", () => ({ seen: [`right ${interrupt("right?")}`] }))
  .addEdge(START, "left")
  .addEdge(START, "right")
  .addEdge("left", END)
  .addEdge("right", END)
  .compile();

export const fails = new StateGraph(State)
  .addNode("before", () => ({ seen: ["before"] }))
  .addNode("boom", () => {
    throw new TypeError("Boo!");
  })
  .addEdge(START, "before")
  .addEdge("before", "boom")
  .addEdge("boom", END)
  .compile();

/** Runs until it is aborted. */
export const slow = new StateGraph(State)
  .addNode("wait", async (_state, config) => {
    await sleep(60_000, undefined, config.signal === undefined ? {} : { signal: config.signal });
    return { seen: ["waited"] };
  })
  .addEdge(START, "wait")
  .addEdge("wait", END)
  .compile();

/** Long-term memory. */
export const remembers = new StateGraph(State)
  .addNode("remember", async ({ answer }, config: LangGraphRunnableConfig) => {
    await config.store?.put(["memory"], "last", { answer });
    const item = await config.store?.get(["memory"], "last");
    return { seen: [JSON.stringify(item?.value)] };
  })
  .addEdge(START, "remember")
  .addEdge("remember", END)
  .compile();

/** A graph that is made anew from each run's config. */
export function made({ configurable }: LangGraphRunnableConfig) {
  const name = configurable?.variant === "long" ? "long" : "short";
  return new StateGraph(State)
    .addNode(name, (_state, config: LangGraphRunnableConfig) => ({
      seen: [name, String(config.configurable?.colour ?? config.configurable?.["x-colour"] ?? "none")],
    }))
    .addEdge(START, name)
    .addEdge(name, END);
}
