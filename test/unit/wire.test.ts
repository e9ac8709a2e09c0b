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

describe("a state with messages on the wire", () => {
  const message = new HumanMessage({ content: "hello", id: "1" });
  const shown = { content: "hello", additional_kwargs: {}, response_metadata: {}, id: "1", type: "human" };
  const parsed = (value: unknown): unknown => JSON.parse(toWire(value));

  it("shows what lies beside them as it does without them", () => {
    const beside = {
      when: new Date(0),
      big: 7n,
      map: new Map([["a", 1]]),
      set: new Set([1]),
      nothing: null,
      left: undefined,
      deep: { messages: [message] },
      'a "key"': [new Date(0), message],
      empty: [],
    };
    const alone = parsed(beside) as object;
    expect(parsed({ messages: [message], ...beside })).toEqual({ messages: [shown], ...alone });
    expect(parsed({ ...beside, messages: [message] })).not.toHaveProperty("left");
  });

  it("shows a list as long as it is, whatever lies between its messages", () => {
    const list: unknown[] = [message, undefined, () => 1, new Date(0), { at: new Date(0) }, 1n];
    list.length = 7;
    const others = [null, null, "1970-01-01T00:00:00.000Z", { at: "1970-01-01T00:00:00.000Z" }, "1", null];
    expect(parsed({ messages: list })).toEqual({ messages: [shown, ...others] });
    expect(parsed(list)).toEqual([shown, ...others]);
  });

  it("shows no user of the run, at no depth, and what its own toJSON says", () => {
    const user = { langgraph_auth_user: { token: "secret" }, langgraph_auth_user_id: "ann" };
    const talking = new HumanMessage({ content: "x", additional_kwargs: user });
    for (const value of [
      { messages: [message], ...user },
      { messages: [message], config: { configurable: user } },
      { messages: [talking] },
      { messages: [message, { user }] },
    ])
      expect(toWire(value)).not.toContain("secret");
    expect(parsed({ messages: [message], toJSON: () => ({ own: true }) })).toEqual({ own: true });
    const big = new HumanMessage({ content: "x", additional_kwargs: { amount: 7n } as never });
    expect(parsed({ messages: [big] })).toMatchObject({ messages: [{ additional_kwargs: { amount: "7" } }] });
  });
});
