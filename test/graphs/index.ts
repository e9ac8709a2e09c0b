import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { Transient } from "../../src/domain/errors.ts";

const list = () => Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] });
const State = Annotation.Root({ log: list(), wait: Annotation<number>(), fail: Annotation<string>() });
type S = typeof State.State;

const step = (name: string) => async (state: S) => {
  if (state.wait) await sleep(state.wait);
  return { log: [name] };
};

/** Three steps, each as long as `wait` milliseconds. */
export const steps = new StateGraph(State)
  .addNode("a", step("a"))
  .addNode("b", step("b"))
  .addNode("c", step("c"))
  .addEdge(START, "a")
  .addEdge("a", "b")
  .addEdge("b", "c")
  .addEdge("c", END)
  .compile();

/** Asks once, between two steps. */
export const approval = new StateGraph(State)
  .addNode("draft", step("draft"))
  .addNode("gate", () => ({ log: [`gate:${interrupt("ok?")}`] }))
  .addNode("pay", step("pay"))
  .addEdge(START, "draft")
  .addEdge("draft", "gate")
  .addEdge("gate", "pay")
  .addEdge("pay", END)
  .compile();

/** Two questions in one node, and a third beside it. */
export const questions = new StateGraph(State)
  .addNode("two", () => {
    const first = interrupt("q1");
    const second = interrupt("q2");
    return { log: [`two:${first},${second}`] };
  })
  .addNode("one", () => ({ log: [`one:${interrupt("q3")}`] }))
  .addEdge(START, "two")
  .addEdge(START, "one")
  .compile();

const inner = new StateGraph(State)
  .addNode("ask", () => {
    const first = interrupt("inner 1");
    const second = interrupt("inner 2");
    return { log: [`ask:${first},${second}`] };
  })
  .addEdge(START, "ask")
  .addEdge("ask", END)
  .compile();
const middle = new StateGraph(State)
  .addNode("inner", inner)
  .addEdge(START, "inner")
  .addEdge("inner", END)
  .compile();

/** Two questions, two subgraphs deep. */
export const nested = new StateGraph(State)
  .addNode("before", step("before"))
  .addNode("middle", middle)
  .addNode("after", step("after"))
  .addEdge(START, "before")
  .addEdge("before", "middle")
  .addEdge("middle", "after")
  .addEdge("after", END)
  .compile();

/** Fails as `fail` says: `transient` or any other text. */
export const failing = new StateGraph(State)
  .addNode("fine", step("fine"))
  .addNode("fails", (state: S) => {
    if (state.fail === "transient") throw new Transient("come back later");
    if (state.fail) throw new Error(state.fail);
    return { log: ["fails not"] };
  })
  .addEdge(START, "fine")
  .addEdge("fine", "fails")
  .addEdge("fails", END)
  .compile();
