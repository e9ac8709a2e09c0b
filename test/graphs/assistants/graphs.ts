import type { RunnableConfig } from "@langchain/core/runnables";
import { Annotation, END, interrupt, START, StateGraph, StateSchema } from "@langchain/langgraph";
import { z } from "zod";

type Config = RunnableConfig & { context?: unknown };
const State = Annotation.Root({ told: Annotation<unknown>() });

const tell = (_state: unknown, { configurable = {}, context, tags, metadata = {} }: Config) => {
  const { model, tone } = configurable;
  return { told: { model, tone, context, tags, team: metadata.team } };
};

/** Shows the config it ran with. */
export const told = new StateGraph(State)
  .addNode("tell", tell)
  .addEdge(START, "tell")
  .addEdge("tell", END)
  .compile();

/** Asks first. */
export const other = new StateGraph(State)
  .addNode("ask", () => ({ told: interrupt("other?") }))
  .addNode("tell", tell)
  .addEdge(START, "ask")
  .addEdge("ask", "tell")
  .addEdge("tell", END)
  .compile();

const ZodState = z.object({ topic: z.string(), pages: z.number().default(1) });
const inner = new StateGraph(ZodState)
  .addNode("write", () => ({ pages: 2 }))
  .addNode("check", () => ({}))
  .addEdge(START, "write")
  .addEdge("write", "check")
  .addEdge("check", END)
  .compile();

export const zodded = new StateGraph({
  state: ZodState,
  input: z.object({ topic: z.string() }),
  output: z.object({ pages: z.number() }),
  context: z.object({ model: z.string() }),
})
  .addNode("write", () => ({ pages: 2 }))
  .addEdge(START, "write")
  .addEdge("write", END)
  .compile();

export const declared = new StateGraph(new StateSchema({ topic: z.string() }))
  .addNode("write", () => ({ topic: "new" }))
  .addEdge(START, "write")
  .addEdge("write", END)
  .compile();

const middle = new StateGraph(ZodState)
  .addNode("plan", () => ({}))
  .addNode("inner", inner)
  .addEdge(START, "plan")
  .addEdge("plan", "inner")
  .addEdge("inner", END)
  .compile();

/** A subgraph in a subgraph. */
export const nested = new StateGraph(ZodState)
  .addNode("middle", middle)
  .addEdge(START, "middle")
  .addEdge("middle", END)
  .compile();
