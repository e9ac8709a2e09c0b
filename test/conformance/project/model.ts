import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, AIMessageChunk, type BaseMessage, isToolMessage } from "@langchain/core/messages";
import { ChatGenerationChunk, type ChatResult } from "@langchain/core/outputs";

/**
 * A chat model whose answer follows from the last message: `weather <place>` asks for the tool, a tool's result is
 * told, anything else is repeated. It streams word by word.
 */
export class ScriptedModel extends BaseChatModel {
  _llmType(): string {
    return "scripted";
  }

  async _generate(messages: BaseMessage[]): Promise<ChatResult> {
    const message = answerTo(messages);
    return { generations: [{ message, text: String(message.content) }] };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    _options: this["ParsedCallOptions"],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const { content, tool_calls: calls = [] } = answerTo(messages);
    for (const text of String(content).split(/(?<= )/))
      yield await told(new AIMessageChunk({ content: text }), runManager);
    for (const [index, { id, name, args }] of calls.entries()) {
      const tool_call_chunks = [
        { index, id: id ?? "", name, args: JSON.stringify(args), type: "tool_call_chunk" as const },
      ];
      yield await told(new AIMessageChunk({ content: "", tool_call_chunks }), runManager);
    }
  }
}

async function told(
  message: AIMessageChunk,
  runManager?: CallbackManagerForLLMRun,
): Promise<ChatGenerationChunk> {
  const text = String(message.content);
  const chunk = new ChatGenerationChunk({ message, text });
  await runManager?.handleLLMNewToken(text, undefined, undefined, undefined, undefined, { chunk });
  return chunk;
}

function answerTo(messages: BaseMessage[]): AIMessage {
  const last = messages.at(-1);
  const text = String(last?.content ?? "");
  if (last !== undefined && isToolMessage(last)) return new AIMessage(`It is ${text}`);
  const place = /^weather (.+)$/.exec(text)?.[1];
  if (place === undefined) return new AIMessage(`You said ${text}`);
  const tool_calls = [{ id: "call-1", name: "weather", args: { place }, type: "tool_call" as const }];
  return new AIMessage({ content: "", tool_calls });
}
