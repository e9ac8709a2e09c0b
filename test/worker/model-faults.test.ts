import { Annotation, StateGraph } from "@langchain/langgraph";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import type { RunRow, RunWithOutput } from "../../src/db/queries/rows.ts";
import { type ChatModelOptions, chatModel } from "../../src/models/chat-model.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import { runById } from "../support/factory.ts";
import {
  type ModelServer,
  type Script,
  type ScriptedAnswer,
  say,
  startModelServer,
} from "../support/model-server.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted, rowsOf, runtimeWith, untilRow } from "../support/scenario.ts";

const start = new Date("2030-01-01T00:00:00Z");
const State = Annotation.Root({ said: Annotation<string>(), asked: Annotation<unknown>() });

/** The input names the model to ask. */
const asking = (retryAttempts = 1) =>
  new StateGraph(State)
    .addNode(
      "ask",
      async ({ asked }) => {
        const { streamed, ...options } = asked as ChatModelOptions & { streamed?: boolean };
        const model = chatModel(options);
        if (streamed !== true) {
          const answer = await model.invoke("hi");
          return { said: answer.text, asked: answer.response_metadata.holdfast };
        }
        let said = "";
        for await (const chunk of await model.stream("hi")) said += chunk.text;
        return { said };
      },
      { retryPolicy: { maxAttempts: retryAttempts, initialInterval: 1, jitter: false, logWarning: false } },
    )
    .addEdge("__start__", "ask")
    .compile();

async function serverWith(script: Script): Promise<ModelServer> {
  const server = await startModelServer({ script });
  onTestFinished(() => server.stop());
  return server;
}

const optionsFor = (server: ModelServer, more: Partial<ChatModelOptions> = {}) => ({
  model: "scripted-1",
  apiKey: "none",
  baseURL: server.url,
  quickRetryWaitMs: 5,
  ...more,
});

const running = (runtime: TestRuntime, asked: unknown): Promise<RunRow> =>
  accepted(runtime, { kwargs: { input: { asked }, stream_mode: ["values"] } });

/** Works until the run has ended, each wait cut short by the test's clock; the waits, in milliseconds. */
async function played(runtime: TestRuntime, runId: string): Promise<{ run: RunWithOutput; waits: number[] }> {
  for (let look = 0; look < 20; look++) {
    const now = await untilRow(
      runtime,
      runId,
      (row) => row.finished_at !== null || (row.status === "queued" && row.error !== null),
    );
    if (now.finished_at !== null) break;
    runtime.clock.advance(3_700_000);
    runtime.bus.publish("queue", "*");
    await untilRow(runtime, runId, (row) => row.epoch > now.epoch);
  }
  const attempts = await rowsOf(
    runtime,
    `select round(extract(epoch from retry_at - ended_at) * 1000)::int as wait from holdfast.run_attempts
      where run_id = $1 and retry_at is not null order by epoch`,
    runId,
  );
  return { run: await runById(runtime.db, runId), waits: attempts.map(({ wait }) => wait as number) };
}

describe("F35 a model's fault", () => {
  let runtime: TestRuntime;
  beforeAll(async () => {
    runtime = await startRuntime({ registry: await registryOf("any", asking()) });
    runtime.clock.set(start);
    runtime.work({ pollMillis: 20 });
  });
  afterAll(() => runtime.close());

  const status = (code: number, headers: Record<string, string> = {}, body?: unknown): ScriptedAnswer => ({
    kind: "status",
    status: code,
    headers,
    ...(body === undefined ? {} : { body }),
  });
  const doubling = [2_000, 4_000, 8_000, 16_000];
  const sent = "Tue, 01 Jan 2030 00:00:00 GMT";
  const later = "Tue, 01 Jan 2030 00:00:21 GMT";
  const tooLong = { error: { message: "maximum context length is 8192 tokens" } };
  const noQuota = { error: { message: "no more", code: "insufficient_quota" } };
  const text = "an answer that is cut";

  it.each<[string, ScriptedAnswer, number[], number, object]>([
    ["500", status(500), doubling, 5, { status: "timeout", error: { code: "exhausted" } }],
    ["503", status(503), doubling, 5, { status: "timeout", error: { code: "exhausted" } }],
    ["529", status(529), doubling, 5, { status: "timeout", error: { code: "exhausted" } }],
    ["hang", { kind: "hang" }, doubling, 5, { status: "timeout", error: { code: "exhausted" } }],
    ["429", status(429), doubling, 5, { status: "error", error: { code: "exhausted" } }],
    [
      "429 with Retry-After in seconds",
      status(429, { "retry-after": "7" }),
      [7_000, 7_000, 7_000, 7_000],
      5,
      { status: "error", error: { code: "exhausted" } },
    ],
    [
      "429 with Retry-After as a date, by the clock of the answer",
      status(429, { "retry-after": later, date: sent }),
      [21_000, 21_000, 21_000, 21_000],
      5,
      { status: "error", error: { code: "exhausted" } },
    ],
    [
      "429 that asks for a day, held to an hour",
      status(429, { "retry-after": "86400" }),
      [3_600_000, 3_600_000, 3_600_000, 3_600_000],
      5,
      { error: { code: "exhausted" } },
    ],
    ["429 for a spent quota", status(429, {}, noQuota), [], 1, { error: { code: "quota_exceeded" } }],
    ["402", status(402), [], 1, { error: { code: "quota_exceeded" } }],
    ["401", status(401), [], 1, { error: { code: "invalid_key" } }],
    ["400", status(400), [], 1, { error: { code: "bad_request" } }],
    ["a context that is too long", status(400, {}, tooLong), [], 1, { error: { code: "context_length" } }],
    ["no choices", { kind: "empty_choices" }, [], 1, { error: { code: "bad_answer" } }],
    ["truncated JSON", { kind: "truncated_json", text }, [], 1, { error: { code: "bad_answer" } }],
    ["garbage", { kind: "garbage" }, [], 1, { error: { code: "bad_answer" } }],
    // Three quick tries, and two more in the second attempt before the budget is spent.
    ["a link cut before the answer", { kind: "cut" }, [2_000], 5, { error: { code: "exhausted" } }],
  ])("%s is asked for, and waited for, as the table says", async (_, answer, waits, requests, ended) => {
    const server = await serverWith([answer]);
    const timeoutMs = answer.kind === "hang" ? 60 : 5_000;
    const run = await running(runtime, optionsFor(server, { timeoutMs }));
    const end = await played(runtime, run.run_id);
    expect(end.run).toMatchObject(ended);
    expect(end.waits).toEqual(waits);
    expect(server.requests).toHaveLength(requests);
  });

  it.each<[string, ScriptedAnswer]>([
    ["no first token", { kind: "hang" }],
    ["no further token", { kind: "stall", text: "twelve letters", afterPieces: 2 }],
    ["a trickle", { kind: "trickle", text: "twelve letters", byteMs: 20 }],
  ])("%s in time ends the stream and is tried again", async (_, answer) => {
    const server = await serverWith([answer, say("here now")]);
    const limits = { firstTokenMs: 1_500, betweenTokensMs: 500, wholeAnswerMs: 2_000 };
    const run = await running(runtime, { ...optionsFor(server), ...limits, streamed: true });
    const end = await played(runtime, run.run_id);
    expect(end.run.status).toBe("success");
    expect(JSON.parse(end.run.output ?? "null").said).toBe("here now");
    expect(end.waits).toEqual([2_000]);
    expect(server.requests).toHaveLength(2);
  });

  it("a fallback answers for a model that is down, and everybody is told", async () => {
    const server = await serverWith((request) =>
      request.body.model === "second" ? say("from the second") : { kind: "status", status: 500 },
    );
    const fallbacks = [optionsFor(server, { model: "second" })];
    const run = await running(runtime, optionsFor(server, { model: "first", fallbacks }));
    const end = await played(runtime, run.run_id);
    const [first, second] = ["first", "second"].map((name) => `${new URL(server.url).host}/${name}`);
    expect(JSON.parse(end.run.output ?? "null")).toEqual({
      said: "from the second",
      asked: { model: second, tries: 2, fallback_from: first },
    });
    expect(end.waits).toEqual([]);
    const calls = await rowsOf(
      runtime,
      "select model, tries from holdfast.model_calls where run_id = $1",
      run.run_id,
    );
    expect(calls).toEqual([{ model: second, tries: 2 }]);
    const { values } = await runtime.metrics.fallbacks.get();
    expect(values).toContainEqual({ labels: { from: first, to: second }, value: 1 });
  });

  it("F36 an invalid key is not tried again, and raises an alert within a second", async () => {
    const server = await serverWith([status(401), say("too late")]);
    const target = `${new URL(server.url).host}/scripted-1`;
    const alerted = new Promise<number>((resolve) => {
      const spy = vi.spyOn(runtime.log, "error").mockImplementation((entry: unknown) => {
        if ((entry as { alert?: string }).alert === "invalid_key") resolve(performance.now());
      });
      onTestFinished(() => spy.mockRestore());
    });
    const run = await running(runtime, optionsFor(server, { fallbacks: [optionsFor(server)] }));
    await server.requestArrived(1);
    const refused = performance.now();
    expect((await alerted) - refused).toBeLessThan(1_000);
    const end = await played(runtime, run.run_id);
    expect(end.run).toMatchObject({ status: "error", error: { code: "invalid_key" } });
    expect(server.requests).toHaveLength(1);
    const { values } = await runtime.metrics.invalidKeys.get();
    expect(values).toContainEqual({ labels: { target }, value: 1 });
  });
});

describe("F38 retries of every layer together", () => {
  it.each<[string, ScriptedAnswer]>([
    ["500", { kind: "status", status: 500 }],
    ["a cut link", { kind: "cut" }],
    ["a rate limit", { kind: "status", status: 429 }],
  ])("let the provider see five requests for a step that meets %s", async (_, answer) => {
    const server = await serverWith([answer]);
    const runtime = await runtimeWith(asking(3));
    runtime.clock.set(start);
    runtime.work({ pollMillis: 20 });
    const fallbacks = [optionsFor(server, { model: "second" }), optionsFor(server, { model: "third" })];
    const run = await running(runtime, optionsFor(server, { fallbacks }));
    const end = await played(runtime, run.run_id);
    expect(end.run).toMatchObject({ status: "error", error: { code: "exhausted" } });
    expect(server.requests).toHaveLength(5);
  });
});

it("a redrive of an exhausted run has a budget of its own", async () => {
  const server = await serverWith([{ kind: "status", status: 429 }]);
  const runtime = await runtimeWith(asking());
  runtime.clock.set(start);
  runtime.work({ pollMillis: 20 });
  const run = await running(runtime, optionsFor(server));
  expect((await played(runtime, run.run_id)).run.error).toMatchObject({ code: "exhausted" });
  expect(server.requests).toHaveLength(5);
  server.setScript([{ kind: "status", status: 429 }, say("at last")]);
  const again = await redriveRun(runtime, {
    tenant: "default",
    runId: run.run_id,
    principal: "tester",
    from: "checkpoint",
    input: undefined,
    effects: null,
    afterSeconds: 0,
    dryRun: false,
  });
  const end = await played(runtime, String(again.run?.run_id));
  expect(end.run.status).toBe("success");
  expect(JSON.parse(end.run.output ?? "null").said).toBe("at last");
  expect(server.requests).toHaveLength(7);
});

describe("F37 an open breaker", () => {
  it("is seen by three workers: only its single probe reaches the provider, and waiting is not charged", async () => {
    let answer: () => Promise<ScriptedAnswer> = async () => ({ kind: "status", status: 500 });
    const server = await serverWith(() => answer());
    const target = `${new URL(server.url).host}/scripted-1`;
    const one = await runtimeWith(asking());
    const others = [await runtimeWith(asking(), one.url), await runtimeWith(asking(), one.url)];
    const all = [one, ...others];
    for (const { clock } of all) clock.set(start);
    one.work({ pollMillis: 20 });
    const failing = await Promise.all([1, 2, 3, 4, 5].map(() => running(one, optionsFor(server))));
    for (const { run_id } of failing) await untilRow(one, run_id, (row) => row.failures === 1);
    const stateOf = async () =>
      (await rowsOf(one, "select state from holdfast.breakers where target = $1", target))[0]?.state;
    expect(await stateOf()).toBe("open");
    expect(server.requests).toHaveLength(5);

    for (const other of others) other.work({ pollMillis: 20 });
    const waiting = await Promise.all(Array.from({ length: 12 }, () => running(one, optionsFor(server))));
    const putOff = (row: RunWithOutput): boolean => row.status === "queued" && row.error?.code === "waiting";
    for (const { run_id } of waiting) {
      const row = await untilRow(one, run_id, putOff);
      expect(row).toMatchObject({ failures: 0, attempt: 0 });
      expect(row.available_at.getTime() - start.getTime()).toBe(60_000);
    }
    expect(server.requests).toHaveLength(5);

    const go = (milliseconds: number): void => {
      for (const { clock } of all) clock.advance(milliseconds);
      one.bus.publish("queue", "*");
    };
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    answer = async () => {
      await held;
      return { kind: "status", status: 500 };
    };
    go(60_000);
    await server.requestArrived(6);
    expect(await stateOf()).toBe("half_open");
    const attempts = (): Promise<Record<string, unknown>[]> =>
      rowsOf(one, "select 1 from holdfast.run_attempts where outcome = 'retry'");
    const tried = 5 + 12 + 5 + 12 - 1;
    await vi.waitUntil(async () => (await attempts()).length >= tried, { timeout: 20_000, interval: 50 });
    expect(server.requests).toHaveLength(6);
    release();
    await vi.waitUntil(async () => (await stateOf()) === "open", { timeout: 20_000, interval: 50 });

    answer = async () => say("back again");
    go(60_000);
    await vi.waitUntil(async () => (await stateOf()) === "closed", { timeout: 20_000, interval: 50 });
    for (const { run_id } of [...failing, ...waiting]) {
      await vi.waitUntil(
        async () => {
          go(1_000);
          return (await runById(one.db, run_id)).finished_at !== null;
        },
        { timeout: 20_000, interval: 50 },
      );
      expect((await runById(one.db, run_id)).status).toBe("success");
    }
  });
});
