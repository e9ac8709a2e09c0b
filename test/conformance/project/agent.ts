import { isAIMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { z } from "zod";
import { ScriptedModel } from "./model.ts";

const weather = tool(({ place }) => `sunny in ${place}`, {
  name: "weather",
  description: "The weather of a place",
  schema: z.object({ place: z.string() }),
});

const model = new ScriptedModel({});

/** Messages, tokens and one tool. */
export const agent = new StateGraph(MessagesAnnotation)
  .addNode("model", async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
  .addNode("tools", new ToolNode([weather]))
  .addEdge(START, "model")
  .addConditionalEdges(
    "model",
    ({ messages }) => {
      const last = messages.at(-1);
      return last !== undefined && isAIMessage(last) && (last.tool_calls ?? []).length > 0 ? "tools" : END;
    },
    ["tools", END],
  )
  .addEdge("tools", "model")
  .compile();
