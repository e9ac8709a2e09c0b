import { existsSync, writeFileSync } from "node:fs";
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  flag: Annotation<string>(),
});

/** Blocks the event loop for ever the first time, and not the second. */
export const blocking = new StateGraph(State)
  .addNode("block", ({ flag }) => {
    if (existsSync(flag)) return { log: ["not again"] };
    writeFileSync(flag, "");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return { log: ["never"] };
  })
  .addEdge(START, "block")
  .addEdge("block", END)
  .compile();
