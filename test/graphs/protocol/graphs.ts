import { setTimeout as sleep } from "node:timers/promises";
import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { ChatGenerationChunk, type ChatResult } from "@langchain/core/outputs";
import { tool } from "@langchain/core/tools";
import {
  Annotation,
  END,
  interrupt,
  type LangGraphRunnableConfig,
  MessagesAnnotation,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { z } from "zod";

/** Calls its tool once, then says that it is done. */
class ToolCaller extends BaseChatModel {
  override _llmType(): string {
    return "fake";
  }
  override async _generate(messages: BaseMessage[]): Promise<ChatResult> {
    const done = messages.at(-1)?.type === "tool";
    const calls = [
      { id: "call_embed_1", name: "weather", args: { query: "SF" }, type: "tool_call" as const },
    ];
    const message = done ? new AIMessage("Done.") : new AIMessage({ content: "", tool_calls: calls });
    return { generations: [{ text: String(message.content), message }] };
  }
}

const weather = tool(async () => "It's 60 degrees and foggy.", {
  name: "weather",
  description: "Tells the weather",
  schema: z.object({ query: z.string() }),
});

export const agentWithTools = new StateGraph(MessagesAnnotation)
  .addNode("agent", async ({ messages }) => ({ messages: [await new ToolCaller({}).invoke(messages)] }))
  .addNode("tools", new ToolNode([weather]))
  .addEdge(START, "agent")
  .addConditionalEdges("agent", ({ messages }) =>
    ((messages.at(-1) as AIMessage).tool_calls ?? []).length > 0 ? "tools" : END,
  )
  .addEdge("tools", "agent")
  .compile();

const Asking = Annotation.Root({ ...MessagesAnnotation.spec, interrupt: Annotation<boolean>() });

export const agent = new StateGraph(Asking)
  .addNode("agent", ({ interrupt: asks }) => ({
    messages: [new AIMessage(asks ? `told: ${interrupt("i want to interrupt")}` : "nothing to ask")],
  }))
  .addEdge(START, "agent")
  .addEdge("agent", END)
  .compile();

const Words = Annotation.Root({
  messages: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
});
const entered = (name: string) => () => ({ messages: [`Entered ${name} node`] });
type Node = () => { messages: string[] };

/** Two nodes one after the other; the second may be a graph. */
function pair<Last extends Node | ReturnType<typeof leaf>>(first: string, second: string, last: Last) {
  return new StateGraph(Words)
    .addNode({ [first]: entered(first) })
    .addNode({ [second]: last })
    .addEdge(START, first)
    .addEdge(first, second)
    .addEdge(second, END)
    .compile();
}
const leaf = (first: string, second: string, last: Node) =>
  new StateGraph(Words)
    .addNode({ [first]: entered(first) })
    .addNode({ [second]: last })
    .addEdge(START, first)
    .addEdge(first, second)
    .addEdge(second, END)
    .compile();

/** Three graphs, one inside the other. */
export const nested = pair(
  "gp_one",
  "gp_two",
  pair("p_one", "p_two", leaf("c_one", "c_two", entered("c_two"))),
);

/** The innermost of two graphs asks twice. */
export const nestedQuestion = pair(
  "gp_one",
  "gp_two",
  leaf("p_one", "p_two", () => ({ messages: [`${interrupt("first?")}`, `${interrupt("second?")}`] })),
);

/** Says its words one by one, each after the pause that the message before names. */
class Talker extends BaseChatModel {
  override _llmType(): string {
    return "talker";
  }
  override async _generate(): Promise<ChatResult> {
    throw new Error("it only streams");
  }
  override async *_streamResponseChunks(messages: BaseMessage[]): AsyncGenerator<ChatGenerationChunk> {
    const pause = Number(messages.at(-1)?.content ?? 0);
    for (const text of ["one ", "two ", "three"]) {
      yield new ChatGenerationChunk({ text, message: new AIMessageChunk(text) });
      await sleep(pause);
    }
  }
}

const Talk = Annotation.Root({ ...MessagesAnnotation.spec, steps: Words.spec.messages });

/** A quick step, and one that talks. */
export const talker = new StateGraph(Talk)
  .addNode("first", () => ({ steps: ["first"] }))
  .addNode("talk", async ({ messages }) => {
    const said = await new Talker({}).invoke(messages);
    return { messages: [said], steps: ["talk"] };
  })
  .addEdge(START, "first")
  .addEdge("first", "talk")
  .addEdge("talk", END)
  .compile();

const child = new StateGraph(Words)
  .addNode("boom", () => {
    throw new TypeError("Boo!");
  })
  .addEdge(START, "boom")
  .addEdge("boom", END)
  .compile();
export const failing = new StateGraph(Words)
  .addNode("fine", entered("fine"))
  .addNode("child", child)
  .addEdge(START, "fine")
  .addEdge("fine", "child")
  .addEdge("child", END)
  .compile();

export const custom = new StateGraph(Words)
  .addNode("tell", (_state, config: LangGraphRunnableConfig) => {
    config.writer?.({ name: "progress", payload: 1 });
    config.writer?.("bare");
    return { messages: ["told"] };
  })
  .addEdge(START, "tell")
  .addEdge("tell", END)
  .compile();
