import { Annotation, END, START, StateGraph } from "@langchain/langgraph";

export const stepsPerRun = 5;
const textBytes = 200;

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** Five nodes in a row; each adds 200 bytes to the state. */
export function fiveSteps() {
  const step = (n: number) => () => ({ log: [`${n}`.repeat(textBytes)] });
  return new StateGraph(State)
    .addNode("s1", step(1))
    .addNode("s2", step(2))
    .addNode("s3", step(3))
    .addNode("s4", step(4))
    .addNode("s5", step(5))
    .addEdge(START, "s1")
    .addEdge("s1", "s2")
    .addEdge("s2", "s3")
    .addEdge("s3", "s4")
    .addEdge("s4", "s5")
    .addEdge("s5", END);
}

export const graph = fiveSteps().compile();
