import { END, type Runtime, START, StateGraph } from "@langchain/langgraph";
import { z } from "zod";

const State = z.object({ question: z.string(), answer: z.string().optional() });
const Context = z.object({ tone: z.string().optional() });

const inner = new StateGraph(State)
  .addNode("think", ({ question }) => ({ question: `${question}!` }))
  .addEdge(START, "think")
  .addEdge("think", END)
  .compile();

/** State and context in zod. */
export const typed = new StateGraph(State, Context)
  .addNode("reply", ({ question }, { context }: Runtime<z.infer<typeof Context>>) => ({
    answer: `${question} ${context?.tone ?? "plain"}`,
  }))
  .addNode("inner", inner)
  .addEdge(START, "inner")
  .addEdge("inner", "reply")
  .addEdge("reply", END)
  .compile();
