import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { effect, modelFromEnvironment } from "holdfast";
import { lookUp, send } from "./sink.ts";

/** By the classes of effect that a lost reply is settled for in three ways: sent again, looked up, asked. */
export type ChaosTool = "charge" | "book" | "mail";

const State = Annotation.Root({
  run: Annotation<string>(),
  tool: Annotation<ChaosTool>(),
  sink: Annotation<string>(),
  answers: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  receipts: Annotation<unknown[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
type S = typeof State.State;

async function think({ run }: S): Promise<Partial<S>> {
  const { content } = await modelFromEnvironment().invoke(run);
  return { answers: [String(content)] };
}

const classes = { charge: "idempotent", book: "queryable", mail: "at_most_once" } as const;

async function act({ run, tool, sink }: S): Promise<Partial<S>> {
  const args = { run, tool };
  const lookup = (key: string) => lookUp(sink, key);
  const receipt = await effect(
    { name: tool, class: classes[tool], args, ...(tool === "book" ? { lookup } : {}) },
    (key) => send({ sink, tool, about: run }, key),
  );
  return { receipts: [receipt] };
}

/** Asks the model, then does one thing to the world. */
export const chaos = new StateGraph(State)
  .addNode("think", think)
  .addNode("act", act)
  .addEdge(START, "think")
  .addEdge("think", "act")
  .addEdge("act", END)
  .compile();
