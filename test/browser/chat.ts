import { access } from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import { SimpleChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { ChatGenerationChunk } from "@langchain/core/outputs";
import { END, interrupt, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { halfway, wordsOf } from "./words.ts";

const lookMillis = 20;
const looksMax = 3_000;

/** Says its words one by one, and stops halfway until the test lets it go on: by a file, since it runs in another process. */
class HaltingModel extends SimpleChatModel {
  _llmType(): string {
    return "halting";
  }

  async _call(): Promise<string> {
    throw new Error("this model only streams");
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const turn = messages.filter((message) => message.getType() === "human").length;
    for (const [index, word] of wordsOf(turn).entries()) {
      if (index === halfway) await fileToBeThere(`turn-${turn}`, options.signal);
      const text = index === 0 ? word : ` ${word}`;
      const chunk = new ChatGenerationChunk({ text, message: new AIMessageChunk(text) });
      yield chunk;
      await runManager?.handleLLMNewToken(text, undefined, undefined, undefined, undefined, { chunk });
    }
  }
}

async function fileToBeThere(name: string, signal: AbortSignal | undefined): Promise<void> {
  const file = path.join(process.env.CHAT_FLAGS ?? "", name);
  for (let look = 0; look < looksMax; look += 1) {
    const there = await access(file).then(
      () => true,
      () => false,
    );
    if (there) return;
    await pause(lookMillis, undefined, signal ? { signal } : {});
  }
  throw new Error(`nobody made ${file}`);
}

type State = typeof MessagesAnnotation.State;

const answer = async ({ messages }: State) => ({ messages: [await new HaltingModel({}).invoke(messages)] });

function ask() {
  const said = interrupt({ question: "Shall I go on?" });
  return { messages: [new AIMessage(`You said: ${said}`)] };
}

/** Streams an answer, then asks a human. */
export const graph = new StateGraph(MessagesAnnotation)
  .addNode("answer", answer)
  .addNode("ask", ask)
  .addEdge(START, "answer")
  .addEdge("answer", "ask")
  .addEdge("ask", END)
  .compile();
