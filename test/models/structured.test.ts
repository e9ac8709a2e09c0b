import { getEventListeners } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { chatModel } from "../../src/models/chat-model.ts";
import { ModelError } from "../../src/models/model-error.ts";
import { extractJson } from "../../src/models/structured.ts";
import type { AnswerLimits } from "../../src/models/watch.ts";
import {
  type ModelServer,
  reply,
  type Script,
  type ScriptedAnswer,
  say,
  startModelServer,
} from "../support/model-server.ts";

const City = z.object({ city: z.string(), people: z.number().int() });
const paris = { city: "Paris", people: 2_100_000 };

let server: ModelServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function setup(script: Script, timeoutMs = 2_000) {
  server = await startModelServer({ script });
  const model = chatModel({ model: "scripted-1", apiKey: "none", baseURL: server.url, timeoutMs });
  const ask = (more: { signal?: AbortSignal; limits?: Partial<AnswerLimits> } = {}) =>
    extractJson({
      model,
      system: "Name a city.",
      user: "Which?",
      schema: City,
      signal: more.signal,
      limits: { quickRetryWaitMs: 5, ...more.limits },
    });
  return { server, model, ask };
}

async function failure(promise: Promise<unknown>): Promise<ModelError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ModelError);
  return error as ModelError;
}

describe("an answer", () => {
  it("comes back checked, with its usage", async () => {
    const { ask, server } = await setup([{ kind: "json", value: paris, usage: { input: 11, output: 7 } }]);
    expect(await ask()).toEqual({ value: paris, usage: { inputTokens: 11, outputTokens: 7 }, tries: 1 });
    expect(server.requests[0]?.body).toMatchObject({
      stream: true,
      stream_options: { include_usage: true },
      response_format: { type: "json_object" },
    });
  });

  it("reaches the callbacks of the calling node token by token", async () => {
    const { model } = await setup([reply(paris)]);
    const tokens: string[] = [];
    const config = { callbacks: [{ handleLLMNewToken: (token: string) => void tokens.push(token) }] };
    await extractJson({ model, system: "", user: "", schema: City, config });
    expect(tokens.join("")).toBe(JSON.stringify(paris));
    expect(tokens.length).toBeGreaterThan(3);
  });

  it("is found inside a code fence", async () => {
    const { ask } = await setup([say(`Here you are:\n\`\`\`json\n${JSON.stringify(paris)}\n\`\`\``)]);
    expect((await ask()).value).toEqual(paris);
  });

  it.each(["missing", "nan"] as const)("has no usage when the provider's count is %s", async (usage) => {
    const { ask } = await setup([{ kind: "json", value: paris, usage }]);
    expect((await ask()).usage).toBeNull();
  });

  it("that does not fit the schema names each wrong place", async () => {
    const { ask, server } = await setup([reply({ city: 7, people: 1.5 })]);
    const error = await failure(ask());
    expect(error).toMatchObject({ kind: "schema", cure: "bad-answer" });
    expect(error.issues.map((issue) => issue.path)).toEqual(["city", "people"]);
    expect(server.requests).toHaveLength(1);
  });

  it("cannot carry a prototype", async () => {
    const { ask } = await setup([say('{"city":"Paris","people":1,"__proto__":{"admin":true}}')]);
    expect(await failure(ask())).toMatchObject({ kind: "bad_answer" });
  });

  it("that grows past its limit is given up", async () => {
    const { ask, server } = await setup([say("x".repeat(5_000))]);
    expect(await failure(ask({ limits: { answerCharactersMax: 1_000 } }))).toMatchObject({
      kind: "bad_answer",
    });
    await server.requests[0]?.closed;
  });
});

describe("a fault", () => {
  const cases: [string, ScriptedAnswer, Partial<ModelError>, number][] = [
    ["500", { kind: "status", status: 500 }, { kind: "server", status: 500, cure: "retry" }, 1],
    ["503", { kind: "status", status: 503 }, { kind: "server", status: 503, cure: "retry" }, 1],
    ["529", { kind: "status", status: 529 }, { kind: "server", status: 529, cure: "retry" }, 1],
    ["429 without a hint", { kind: "status", status: 429 }, { kind: "rate_limit", cure: "retry" }, 1],
    [
      "429 with seconds",
      { kind: "status", status: 429, headers: { "retry-after": "7" } },
      { kind: "rate_limit", retryAfterMs: 7_000 },
      1,
    ],
    [
      "429 with a long wait",
      { kind: "status", status: 429, headers: { "retry-after": "600" } },
      { kind: "rate_limit", retryAfterMs: 600_000 },
      1,
    ],
    [
      "429 for a spent quota",
      { kind: "status", status: 429, body: { error: { message: "no more", code: "insufficient_quota" } } },
      { kind: "quota", cure: "fix-request" },
      1,
    ],
    ["401", { kind: "status", status: 401 }, { kind: "auth", status: 401, cure: "fix-request" }, 1],
    ["404", { kind: "status", status: 404 }, { kind: "bad_request", cure: "fix-request" }, 1],
    [
      "a context that is too long",
      { kind: "status", status: 400, body: { error: { message: "maximum context length is 8192 tokens" } } },
      { kind: "context_length", cure: "fix-request" },
      1,
    ],
    ["a cut before the first token", { kind: "cut" }, { kind: "network", cure: "retry" }, 3],
    ["a cut in the middle", { kind: "cut", text: "{".repeat(40), afterPieces: 3 }, { kind: "network" }, 1],
    [
      "an early end",
      { kind: "early_end", text: JSON.stringify(paris), afterPieces: 2 },
      { kind: "network" },
      1,
    ],
    ["no choices", { kind: "empty_choices" }, { kind: "bad_answer", cure: "bad-answer" }, 1],
    ["truncated wire JSON", { kind: "truncated_json", text: "{}" }, { kind: "bad_answer" }, 1],
    [
      "an error inside the stream",
      { kind: "error_event", text: "{", message: "overloaded" },
      { kind: "server" },
      1,
    ],
    [
      "an answer cut at the token limit",
      { kind: "text", text: "{", finish: "length" },
      { kind: "bad_answer" },
      1,
    ],
    ["prose", say("I would rather not."), { kind: "bad_answer" }, 1],
  ];

  it.each(cases)(
    "%s is typed and asked for as often as its row says",
    async (_, scripted, expected, requests) => {
      const { ask, server } = await setup([scripted]);
      expect(await failure(ask())).toMatchObject(expected);
      expect(server.requests).toHaveLength(requests);
    },
  );

  it("of the connection is cured by a quick try", async () => {
    const { ask } = await setup([{ kind: "cut" }, { kind: "cut" }, reply(paris)]);
    expect(await ask()).toMatchObject({ value: paris, tries: 3 });
  });

  it("of a refused connection is a network fault", async () => {
    const { ask, server } = await setup([reply(paris)]);
    await server.stop();
    expect(await failure(ask())).toMatchObject({ kind: "network" });
  });
});

describe("a wait", () => {
  it("for the headers ends at the client's timeout", async () => {
    const { ask } = await setup([{ kind: "hang" }], 50);
    expect(await failure(ask())).toMatchObject({ kind: "timeout", cure: "retry" });
  });

  it("for the first token ends at its limit", async () => {
    const { ask, server } = await setup([{ kind: "hang" }]);
    expect(await failure(ask({ limits: { firstTokenMs: 50 } }))).toMatchObject({ kind: "timeout" });
    await server.requests[0]?.closed;
  });

  it("between two tokens ends at its limit", async () => {
    const { ask, server } = await setup([{ kind: "stall", text: JSON.stringify(paris), afterPieces: 2 }]);
    expect(await failure(ask({ limits: { betweenTokensMs: 50 } }))).toMatchObject({ kind: "timeout" });
    await server.requests[0]?.closed;
  });

  it("for a trickling answer ends at the limit of the whole", async () => {
    const { ask, server } = await setup([{ kind: "trickle", text: JSON.stringify(paris), byteMs: 2 }]);
    const error = await failure(ask({ limits: { wholeAnswerMs: 200 } }));
    expect(error).toMatchObject({ kind: "timeout" });
    expect(error.message).toContain("whole answer");
    await server.requests[0]?.closed;
  });
});

describe("an abort", () => {
  const stalled: ScriptedAnswer = { kind: "stall", text: JSON.stringify(paris), afterPieces: 2 };

  it.each([
    ["before the headers", { kind: "hang" }],
    ["in the middle of the answer", stalled],
  ] as [string, ScriptedAnswer][])("%s ends the call with the caller's reason", async (_, scripted) => {
    const { ask, server } = await setup([scripted]);
    const caller = new AbortController();
    const asked = ask({ signal: caller.signal });
    const request = await server.requestArrived(1);
    const reason = new Error("the run was cancelled");
    caller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await request.closed;
    expect(getEventListeners(caller.signal, "abort")).toHaveLength(0);
  });

  it("through the config of the calling node counts too", async () => {
    const { model, server } = await setup([{ kind: "hang" }]);
    const run = new AbortController();
    const config = { signal: run.signal };
    const asked = extractJson({ model, system: "", user: "", schema: City, config });
    await server.requestArrived(1);
    const reason = new Error("the lease is lost");
    run.abort(reason);
    await expect(asked).rejects.toBe(reason);
  });

  it("before the call asks nothing", async () => {
    const { ask, server } = await setup([reply(paris)]);
    const reason = new Error("too late");
    await expect(ask({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(server.requests).toHaveLength(0);
  });

  it("ends the wait between two quick tries", async () => {
    const { ask, server } = await setup([{ kind: "cut" }]);
    const caller = new AbortController();
    const asked = ask({ signal: caller.signal, limits: { quickRetryWaitMs: 60_000 } });
    await (await server.requestArrived(1)).closed;
    const reason = new Error("stopping");
    caller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(server.requests).toHaveLength(1);
  });
});
