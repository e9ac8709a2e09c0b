import { appendFileSync } from "node:fs";
import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  /** File that every execution of a node is written to: what was really done, whatever the database says. */
  journal: Annotation<string>(),
});
type S = typeof State.State;

const step = (name: string) => (state: S) => {
  appendFileSync(state.journal, `${name}\n`);
  return { log: [name] };
};

/** Two steps, a question, two steps. */
export const recorded = new StateGraph(State)
  .addNode("a", step("a"))
  .addNode("b", step("b"))
  .addNode("gate", (state) => {
    appendFileSync(state.journal, "gate\n");
    return { log: [`gate:${interrupt("ok?")}`] };
  })
  .addNode("c", step("c"))
  .addNode("d", step("d"))
  .addEdge(START, "a")
  .addEdge("a", "b")
  .addEdge("b", "gate")
  .addEdge("gate", "c")
  .addEdge("c", "d")
  .addEdge("d", END)
  .compile();
