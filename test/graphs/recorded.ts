import { appendFileSync } from "node:fs";
import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { effect } from "holdfast";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  /** File that every execution of a node is written to: what was really done, whatever the database says. */
  journal: Annotation<string>(),
});
type S = typeof State.State;

/** The world: honours the key of a call, and writes down every call that it gets. */
const pay = (state: S) =>
  effect({ name: "pay", args: { amount: 100 }, class: "idempotent" }, async (key) => {
    appendFileSync(`${state.journal}.calls`, `${key}\n`);
    return { receipt: key.slice(0, 8) };
  });

const step = (name: string) => (state: S) => {
  appendFileSync(state.journal, `${name}\n`);
  return { log: [name] };
};

/** Two steps, a question, two steps; the first of these pays. */
export const recorded = new StateGraph(State)
  .addNode("a", step("a"))
  .addNode("b", step("b"))
  .addNode("gate", (state) => {
    appendFileSync(state.journal, "gate\n");
    return { log: [`gate:${interrupt("ok?")}`] };
  })
  .addNode("c", async (state) => {
    await pay(state);
    return step("c")(state);
  })
  .addNode("d", step("d"))
  .addEdge(START, "a")
  .addEdge("a", "b")
  .addEdge("b", "gate")
  .addEdge("gate", "c")
  .addEdge("c", "d")
  .addEdge("d", END)
  .compile();
