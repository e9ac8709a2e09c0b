import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { fakeModel } from "@langchain/core/testing";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { z } from "zod";
import { answerBytesMax } from "../../src/models/bounded-fetch.ts";
import { type ChatModelOptions, chatModel } from "../../src/models/chat-model.ts";
import { durableModel } from "../../src/models/durable-model.ts";
import { modelFromEnvironment } from "../../src/models/from-environment.ts";
import type { ModelError } from "../../src/models/model-error.ts";
import { openSlots } from "../../src/models/slots.ts";
import {
  type ModelServer,
  type Script,
  type ScriptedAnswer,
  say,
  startModelServer,
} from "../support/model-server.ts";

afterEach(() => vi.useRealTimers());

async function serverWith(script: Script): Promise<ModelServer> {
  const server = await startModelServer({ script });
  onTestFinished(() => server.stop());
  return server;
}

const optionsFor = (server: ModelServer, more: Partial<ChatModelOptions> = {}): ChatModelOptions => ({
  model: "first",
  apiKey: "none",
  baseURL: server.url,
  quickRetryWaitMs: 5,
  ...more,
});

const failure = (work: Promise<unknown>): Promise<ModelError> =>
  work.then(
    () => {
      throw new Error("it did not fail");
    },
    (error: unknown) => error as ModelError,
  );

const status = (code: number, body?: unknown): ScriptedAnswer => ({
  kind: "status",
  status: code,
  ...(body === undefined ? {} : { body }),
});
const tooLong = status(400, { error: { message: "maximum context length is 8192 tokens" } });

describe("F35 a limit of time", () => {
  it("of an answer in one piece holds after its headers, too", async () => {
    const server = await serverWith([{ kind: "trickle", text: "much too slow", byteMs: 20 }]);
    const error = await failure(chatModel(optionsFor(server, { timeoutMs: 200 })).invoke("hi"));
    expect(error).toMatchObject({ kind: "timeout", message: expect.stringContaining("whole answer") });
    await server.requests[0]?.closed;
  });

  it.each<[string, ScriptedAnswer, Partial<ChatModelOptions>, string]>([
    ["for the first token", { kind: "hang" }, { firstTokenMs: 50 }, "no token"],
    [
      "between two tokens",
      { kind: "stall", text: "a longer answer", afterPieces: 2 },
      { betweenTokensMs: 50 },
      "no further token",
    ],
    [
      "of the whole stream",
      { kind: "trickle", text: "a longer answer", byteMs: 5 },
      { wholeAnswerMs: 100 },
      "no whole answer",
    ],
  ])("%s ends a stream", async (_, answer, limits, message) => {
    const server = await serverWith([answer]);
    const read = async (): Promise<void> => {
      for await (const _chunk of await chatModel(optionsFor(server, limits)).stream("hi"));
    };
    expect(await failure(read())).toMatchObject({
      kind: "timeout",
      message: expect.stringContaining(message),
    });
    await server.requests[0]?.closed;
  });

  it("is cut short at once by the caller's signal", async () => {
    const server = await serverWith([{ kind: "hang" }]);
    const caller = new AbortController();
    const asked = failure(chatModel(optionsFor(server)).invoke("hi", { signal: caller.signal }));
    await server.requestArrived(1);
    caller.abort(new Error("stop"));
    expect((await asked).message).toBe("stop");
    await server.requests[0]?.closed;
  });
});

describe("F35 a breaker without a database", () => {
  it("opens at the fifth failure, and after 60 s lets a single probe through", async () => {
    const server = await serverWith([status(500)]);
    const model = chatModel(optionsFor(server));
    for (let n = 1; n <= 5; n++) expect(await failure(model.invoke("hi"))).toMatchObject({ kind: "server" });
    const refused = await failure(model.invoke("hi"));
    expect(refused).toMatchObject({ kind: "unavailable", cure: "retry", retryAfterMs: 60_000 });
    expect(server.requests).toHaveLength(5);

    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_001 });
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.setScript(async () => {
      await held;
      return status(500);
    });
    const both = [failure(model.invoke("hi")), failure(model.invoke("hi"))];
    await server.requestArrived(6);
    release();
    expect((await Promise.all(both)).map(({ kind }) => kind).sort()).toEqual(["server", "unavailable"]);
    expect(server.requests).toHaveLength(6);

    vi.setSystemTime(Date.now() + 60_001);
    server.setScript([say("back")]);
    expect((await model.invoke("hi")).text).toBe("back");
    expect((await model.invoke("hi")).text).toBe("back");
  });

  it.each([400, 401, 402, 429])("is not moved by %i", async (code) => {
    const server = await serverWith([status(code)]);
    const model = chatModel(optionsFor(server));
    for (let n = 1; n <= 6; n++) await failure(model.invoke("hi"));
    expect(server.requests).toHaveLength(6);
  });
});

describe("F35 a fallback", () => {
  const withFallback = async (
    first: ScriptedAnswer,
    more: { first?: Partial<ChatModelOptions>; second?: Partial<ChatModelOptions> } = {},
  ) => {
    const server = await serverWith(({ body }) => (body.model === "first" ? first : say("from the second")));
    const fallbacks = [optionsFor(server, { model: "second", ...more.second })];
    const timeoutMs = first.kind === "hang" ? 100 : 10_000;
    return { server, model: chatModel(optionsFor(server, { timeoutMs, ...more.first, fallbacks })) };
  };

  it.each<[string, ScriptedAnswer]>([
    ["500", status(500)],
    ["a timeout", { kind: "hang" }],
    ["a cut link", { kind: "cut" }],
    ["a rate limit", status(429)],
    ["a spent quota", status(402)],
  ])("answers after %s", async (_, first) => {
    const { model, server } = await withFallback(first);
    const answer = await model.invoke("hi");
    expect(answer.text).toBe("from the second");
    const host = new URL(server.url).host;
    expect(answer.response_metadata.holdfast).toMatchObject({
      model: `${host}/second`,
      fallback_from: `${host}/first`,
    });
  });

  it("answers a stream that had not begun", async () => {
    const { model } = await withFallback(status(503));
    let text = "";
    for await (const chunk of await model.stream("hi")) text += chunk.text;
    expect(text).toBe("from the second");
  });

  it("does not take over a stream that has begun", async () => {
    const { model, server } = await withFallback({ kind: "cut", text: "half an answer", afterPieces: 2 });
    let text = "";
    const read = async (): Promise<void> => {
      for await (const chunk of await model.stream("hi")) text += chunk.text;
    };
    expect(await failure(read())).toMatchObject({ kind: "network" });
    expect(text).toMatch(/^half a/);
    expect(server.requests).toHaveLength(1);
  });

  it.each([400, 401, 403, 404])("is not asked after %i", async (code) => {
    const { model, server } = await withFallback(status(code));
    await failure(model.invoke("hi"));
    expect(server.requests).toHaveLength(1);
  });

  it("is asked after a context that was too long only when it holds more", async () => {
    const small = await withFallback(tooLong);
    expect(await failure(small.model.invoke("hi"))).toMatchObject({ kind: "context_length" });
    const can = { contextTokens: 1_000_000 };
    const large = await withFallback(tooLong, { first: { can: { contextTokens: 8_192 } }, second: { can } });
    expect((await large.model.invoke("hi")).text).toBe("from the second");
  });

  it("that cannot do what the request needs is passed over", async () => {
    const image = new HumanMessage({
      content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }],
    });
    const blind = await withFallback(status(500), { second: { can: { vision: false } } });
    expect(await failure(blind.model.invoke([image]))).toMatchObject({ kind: "server" });
    const small = await withFallback(status(500), { second: { can: { contextTokens: 10 } } });
    expect(await failure(small.model.invoke("x".repeat(100)))).toMatchObject({ kind: "server" });
    const plain = await withFallback(status(500), { second: { can: { tools: false, json: false } } });
    const schema = z.object({ city: z.string() });
    expect(await failure(plain.model.withStructuredOutput(schema).invoke("hi"))).toMatchObject({
      kind: "server",
    });
    const json = plain.model.withStructuredOutput(schema, { method: "jsonMode" });
    expect(await failure(json.invoke("hi"))).toMatchObject({ kind: "server" });
    expect([blind, small, plain].map(({ server }) => server.requests.length)).toEqual([1, 1, 2]);
  });

  it("comes from MODEL_FALLBACKS, in order", async () => {
    const server = await serverWith(({ body }) => (body.model === "third" ? say("third") : status(500)));
    const model = modelFromEnvironment(
      {},
      {
        OPENAI_API_KEY: "none",
        OPENAI_BASE_URL: server.url,
        MODEL: "first",
        MODEL_FALLBACKS: "second, third",
        MODEL_TIMEOUT_SECONDS: "7",
      },
    );
    expect((await model.invoke("hi")).text).toBe("third");
    expect(server.requests.map(({ body }) => body.model)).toEqual(["first", "second", "third"]);
    expect(model.targets.map(({ limits }) => limits.timeoutMs)).toEqual([7_000, 7_000, 7_000]);
  });
});

describe("F35 an answer", () => {
  it.each([true, false])("of 50 MB is refused at the limit (streamed: %s)", async (streaming) => {
    const server = await serverWith([{ kind: "huge", bytes: 50_000_000 }]);
    const model = chatModel(optionsFor(server));
    const read = async (): Promise<void> => {
      if (!streaming) await model.invoke("hi");
      else for await (const _chunk of await model.stream("hi"));
    };
    expect(await failure(read())).toMatchObject({ kind: "bad_answer" });
    await server.requests[0]?.closed;
    expect(server.requests[0]?.bytesSent).toBeLessThan(answerBytesMax + 8_000_000);
  });

  it.each<[string, ScriptedAnswer]>([
    ["missing", { kind: "text", text: "hi", usage: "missing" }],
    ["no number", { kind: "text", text: "hi", usage: "nan" }],
  ])("whose usage is %s has none", async (_, answer) => {
    const server = await serverWith([answer]);
    const message = await chatModel(optionsFor(server)).invoke("hi");
    expect(message.usage_metadata).toBeUndefined();
  });

  it("with a call of an unknown tool, and an id used before, is handed on as it is", async () => {
    const calls = [{ id: "call_0", name: "no_such_tool", args: { a: 1 } }];
    const server = await serverWith([{ kind: "tool_calls", calls }]);
    const model = chatModel(optionsFor(server));
    for (let n = 1; n <= 2; n++)
      expect((await model.invoke("hi")).tool_calls).toMatchObject([{ id: "call_0", name: "no_such_tool" }]);
  });
});

describe("requests under way", () => {
  it("are limited for each provider; the next one waits, and gives up when its caller does", async () => {
    const slots = openSlots(1);
    const release = await slots.acquire("a", undefined);
    const free = await slots.acquire("b", undefined);
    free();
    let granted = false;
    const next = slots.acquire("a", undefined).then((done) => {
      granted = true;
      return done;
    });
    const caller = new AbortController();
    const third = failure(slots.acquire("a", caller.signal));
    caller.abort(new Error("stop"));
    expect((await third).message).toBe("stop");
    expect(granted).toBe(false);
    release();
    (await next)();
    (await slots.acquire("a", undefined))();
  });
});

it("another provider's model comes under the same rules in one call", async () => {
  const inner = fakeModel().respond(new AIMessage("from elsewhere"));
  const model = durableModel(inner, { provider: "elsewhere", name: "fake" });
  const answer = await model.invoke("hi");
  expect(answer.text).toBe("from elsewhere");
  expect(answer.response_metadata.holdfast).toEqual({ model: "elsewhere/fake", tries: 1 });
});
