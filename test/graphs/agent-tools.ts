import { tool } from "@langchain/core/tools";
import { Annotation, END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { declareTool, idempotencyKey, modelFromEnvironment, toolNode, z } from "holdfast";
import { lookUp, send } from "./sink.ts";

const State = Annotation.Root({ ...MessagesAnnotation.spec });
type S = typeof State.State;

/** The address of the world travels in the arguments: the model of the tests is told both. */
const schema = z.object({ sink: z.string(), about: z.string() });

const toolOf = (name: string) =>
  tool(async ({ sink, about }) => JSON.stringify(await send({ sink, tool: name, about }, idempotencyKey())), {
    name,
    description: `${name} at the sink of the tests`,
    schema,
  });

const read = declareTool(toolOf("read"), { class: "read" });
const charge = declareTool(toolOf("charge"), { class: "idempotent" });
const book = declareTool(toolOf("book"), {
  class: "queryable",
  lookup: async (key, { sink }) => {
    const looked = await lookUp(sink, key);
    return looked.found ? { found: true, result: JSON.stringify(looked.result) } : looked;
  },
});
/** Nothing is said about this one: at most once. */
const mail = toolOf("mail");
const tools = [read, charge, book, mail];

async function model({ messages }: S): Promise<Partial<S>> {
  return { messages: [await modelFromEnvironment().bindTools(tools).invoke(messages)] };
}

/** An agent that calls four tools of four classes at once, then says that it is done. */
export const agentTools = new StateGraph(State)
  .addNode("model", model)
  .addNode("tools", toolNode(tools))
  .addEdge(START, "model")
  .addConditionalEdges("model", ({ messages }) => {
    const last = messages.at(-1) as { tool_calls?: unknown[] } | undefined;
    return (last?.tool_calls ?? []).length > 0 ? "tools" : END;
  })
  .addEdge("tools", "model")
  .compile();
