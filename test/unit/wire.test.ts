import {
  AIMessage,
  AIMessageChunk,
  type BaseMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from "@langchain/core/messages";
import { describe, expect, it } from "vitest";
import { toWire } from "../../src/engine/wire.ts";

const calls = [
  { name: "search", args: { q: "x", deep: [1, { a: null }] }, id: "c1", type: "tool_call" as const },
];
const messages: Record<string, BaseMessage> = {
  "a question": new HumanMessage("hello"),
  "a question with an id and a name": new HumanMessage({ content: "hello", id: "1", name: "ann" }),
  "a question of parts": new HumanMessage({
    content: [
      { type: "text", text: "a" },
      { type: "image_url", image_url: "u" },
    ],
  }),
  "a rule": new SystemMessage("be brief"),
  "an answer with calls and usage": new AIMessage({
    content: "",
    tool_calls: calls,
    response_metadata: { model: "m", nested: { tokenUsage: { totalTokens: 3 } } },
    usage_metadata: { input_tokens: 1, output_tokens: 2, total_tokens: 3 } as never,
  }),
  "a piece of an answer": new AIMessageChunk({ content: "he", tool_call_chunks: [{ index: 0, args: "{" }] }),
  "a tool's result": new ToolMessage({
    content: "found",
    tool_call_id: "c1",
    artifact: { rows: [1] },
    status: "success",
  }),
  "one with what LangChain escapes": new HumanMessage({
    content: "x",
    additional_kwargs: { evil: { lc: 1, type: "secret" } },
  }),
  "one with a name of its provider's": new AIMessage({
    content: "x",
    additional_kwargs: { functionCall: { theArgs: "{}" } },
  }),
  "one with an instance in it": new ToolMessage({
    content: "x",
    tool_call_id: "c1",
    artifact: new Map([["a", 1]]),
  }),
};
const named = new HumanMessage("hello");
named._updateId("given later");
messages["one that got its id later"] = named;

describe("a message on the wire", () => {
  it.each(Object.entries(messages))("is what LangChain makes of it: %s", (_name, message) => {
    const { type, data } = message.toDict();
    const shown: unknown = JSON.parse(toWire({ ...data, type }));
    expect(JSON.parse(toWire(message))).toEqual(shown);
    expect(JSON.parse(toWire({ messages: [message, "x"] }))).toEqual({ messages: [shown, "x"] });
  });
});
