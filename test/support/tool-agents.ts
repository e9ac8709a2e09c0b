import { AIMessage, type BaseMessage, isAIMessage } from "@langchain/core/messages";
import { fakeModel } from "@langchain/core/testing";
import { type StructuredToolInterface, tool } from "@langchain/core/tools";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { createReactAgent, toolsCondition } from "@langchain/langgraph/prebuilt";
import { createAgent } from "langchain";
import { z } from "zod";
import { Transient } from "../../src/domain/errors.ts";
import { declareTool, durableTools, idempotencyKey, toolNode } from "../../src/index.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";

export interface Asked {
  name: string;
  args?: Record<string, unknown>;
  id?: string;
}
/** What the model says, by turn: calls, or a text that ends it. */
export type Turns = (Asked[] | string)[];

/** The model's answer depends on the messages alone: a repeated step gets the same one. */
export function answerTo(turns: Turns, messages: BaseMessage[]): AIMessage {
  const turn = turns[messages.filter((message) => isAIMessage(message)).length] ?? "done";
  if (typeof turn === "string") return new AIMessage({ content: turn });
  const calls = turn.map(
    ({ name, args = {}, id = "call_0" }) => ({ name, args, id, type: "tool_call" }) as const,
  );
  return new AIMessage({ content: "", tool_calls: calls });
}

const answersMax = 30;
function scripted(turns: Turns) {
  let model = fakeModel();
  for (let n = 0; n < answersMax; n += 1) model = model.respond((messages) => answerTo(turns, messages));
  return model;
}

type Tools = StructuredToolInterface[];

export function plainGraph(tools: Tools, turns: Turns, node = toolNode(tools)) {
  return new StateGraph(MessagesAnnotation)
    .addNode("agent", ({ messages }) => ({ messages: [answerTo(turns, messages)] }))
    .addNode("tools", node)
    .addEdge(START, "agent")
    .addConditionalEdges("agent", toolsCondition, ["tools", END])
    .addEdge("tools", "agent")
    .compile();
}

/** Every way to use our tools in a graph. */
export const agents: Record<string, (tools: Tools, turns: Turns) => unknown> = {
  "a node of a StateGraph": (tools, turns) => plainGraph(tools, turns),
  "createReactAgent v1": (tools, turns) =>
    createReactAgent({ llm: scripted(turns), tools: toolNode(tools), version: "v1" }),
  "createReactAgent v2": (tools, turns) =>
    createReactAgent({ llm: scripted(turns), tools: toolNode(tools), version: "v2" }),
  "createAgent of langchain": (tools, turns) =>
    createAgent({ model: scripted(turns), tools, middleware: [durableTools()] }).graph,
  "a nested subgraph": (tools, turns) =>
    new StateGraph(MessagesAnnotation)
      .addNode("inner", plainGraph(tools, turns))
      .addEdge(START, "inner")
      .addEdge("inner", END)
      .compile(),
};
export const agentNames = Object.keys(agents);

export function agentOf(name: string, tools: Tools, turns: Turns): unknown {
  const made = agents[name];
  if (made === undefined) throw new Error(`no agent ${name}`);
  return made(tools, turns);
}

export interface Till {
  /** The keys that payments came with, in order. */
  keys: string[];
  pay: StructuredToolInterface;
}

/** A tool that pays, and a till that counts. */
export function till(kind: "idempotent" | "at_most_once" = "idempotent"): Till {
  const keys: string[] = [];
  const pay = tool(
    ({ cents }) => {
      keys.push(idempotencyKey());
      return `paid ${cents}`;
    },
    { name: "pay", description: "pays", schema: z.object({ cents: z.int() }) },
  );
  return { keys, pay: declareTool(pay, { class: kind }) };
}

/** Fails the attempt once, where a crash would have cut it. */
export function cutOnceAt(boundary: string): void {
  let armed = true;
  setFailpoints((name) => {
    if (name !== boundary || !armed) return undefined;
    armed = false;
    throw new Transient("cut off here", { retryAfterMs: 0 });
  });
}
