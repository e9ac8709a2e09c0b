import { AIMessage } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import { StateGraph } from "@langchain/langgraph";
// As the official template does: the name that the compiled file will have.
import { AgentState } from "./state.js";

async function callModel(
  { messages }: typeof AgentState.State,
  config: RunnableConfig,
): Promise<typeof AgentState.Update> {
  const name = config.configurable?.name ?? "the template";
  return { messages: [new AIMessage(`Hi, this is ${name}, message ${messages.length + 1}`)] };
}

const route = ({ messages }: typeof AgentState.State): "__end__" | "callModel" =>
  messages.length > 0 ? "__end__" : "callModel";

export const graph = new StateGraph(AgentState)
  .addNode("callModel", callModel)
  .addEdge("__start__", "callModel")
  .addConditionalEdges("callModel", route)
  .compile();

graph.name = "New Agent";
