import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import {
  Annotation,
  type LangGraphRunnableConfig,
  MessagesAnnotation,
  StateGraph,
} from "@langchain/langgraph";
import { createReactAgent } from "@langchain/langgraph/prebuilt";
import { createAgent } from "langchain";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { LeaseLost } from "../../src/domain/errors.ts";
import { openJournal } from "../../src/effects/journal.ts";
import { chatModel } from "../../src/models/chat-model.ts";
import type { DurableChatModel } from "../../src/models/durable-model.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { expireLeases, makeRun } from "../support/factory.ts";
import { type ModelServer, type Script, say, startModelServer } from "../support/model-server.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, attemptsOf, rowsOf, runtimeWith, untilRow } from "../support/scenario.ts";
import { eventsOf, untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

async function serverWith(script: Script): Promise<ModelServer> {
  const server = await startModelServer({ script });
  onTestFinished(() => server.stop());
  return server;
}

const modelOf = (server: ModelServer, name = "scripted-1"): DurableChatModel =>
  chatModel({ model: name, apiKey: "none", baseURL: server.url, quickRetryWaitMs: 5 });

const State = Annotation.Root({ said: Annotation<string>(), done: Annotation<boolean>() });

/** Asks, and then fails as often as it is told: what the model said is not committed when the node runs again. */
function asking(
  ask: (config: LangGraphRunnableConfig) => Promise<string>,
  more: { failing?: () => boolean } = {},
) {
  return new StateGraph(State)
    .addNode("ask", async (_, config) => {
      const said = await ask(config);
      if (more.failing?.() === true) throw Object.assign(new Error("later"), { name: "Transient" });
      return { said };
    })
    .addEdge("__start__", "ask")
    .addEdge("ask", "__end__")
    .compile();
}

const once = (): (() => boolean) => {
  let first = true;
  return () => {
    const was = first;
    first = false;
    return was;
  };
};

const said = (run: { output: string | null }): string => JSON.parse(run.output ?? "null")?.said;
const callsOf = (runtime: TestRuntime) =>
  rowsOf(
    runtime,
    "select state, tries, model, nth, input_tokens, output_tokens from holdfast.model_calls order by asked_at, nth",
  );

/** Lets the run's next attempt be due at once. */
async function hurry(runtime: TestRuntime): Promise<void> {
  runtime.clock.advance(120_000);
  runtime.bus.publish("queue", "*");
}

async function endedAfterRetries(runtime: TestRuntime, runId: string) {
  for (let attempt = 0; attempt < 10; attempt++) {
    const run = await untilRow(
      runtime,
      runId,
      (row) => row.finished_at !== null || (row.status === "queued" && row.error !== null),
    );
    if (run.finished_at !== null) return run;
    await hurry(runtime);
    await untilRow(runtime, runId, (row) => row.finished_at !== null || row.epoch > run.epoch);
  }
  throw new Error("the run does not end");
}

describe("a repeated step", () => {
  const ways: [string, (model: DurableChatModel, config: LangGraphRunnableConfig) => Promise<string>][] = [
    ["in one piece", async (model) => (await model.invoke("hi")).text],
    ["with its config", async (model, config) => (await model.invoke("hi", config)).text],
    [
      "as a stream",
      async (model) => {
        let text = "";
        for await (const chunk of await model.stream([new HumanMessage("hi")])) text += `${chunk.text}|`;
        return text;
      },
    ],
  ];

  it.each(ways)("gets the stored answer of a call %s, and nothing is paid twice", async (_, ask) => {
    const server = await serverWith((request) => say(`answer number ${request.index}`));
    const answers: string[] = [];
    const graph = asking(
      async (config) => {
        const answer = await ask(modelOf(server), config);
        answers.push(answer);
        return answer;
      },
      { failing: once() },
    );
    const runtime = await runtimeWith(graph);
    runtime.work();
    const run = await accepted(runtime);
    const ended = await endedAfterRetries(runtime, run.run_id);
    expect(ended.status).toBe("success");
    expect(answers).toHaveLength(2);
    expect(answers[1]).toBe(answers[0]);
    expect(said(ended).replaceAll("|", "")).toBe("answer number 0");
    expect(server.requests).toHaveLength(1);
    expect(await callsOf(runtime)).toMatchObject([{ state: "answered", tries: 1, nth: 0 }]);
  });

  it("sees the same chunks in the same order, with ids, usage and metadata; so do the client's tokens", async () => {
    const server = await serverWith([
      { kind: "text", text: "a longer answer in pieces", usage: { input: 3, output: 9 } },
    ]);
    const heard: string[][] = [];
    const graph = asking(
      async () => {
        const chunks: string[] = [];
        for await (const chunk of await modelOf(server).stream("hi"))
          chunks.push(JSON.stringify(chunk.toDict()));
        heard.push(chunks);
        return "fine";
      },
      { failing: once() },
    );
    const runtime = await runtimeWith(graph);
    runtime.work();
    const run = await accepted(runtime, { kwargs: { input: {}, stream_mode: ["messages-tuple"] } });
    await endedAfterRetries(runtime, run.run_id);
    expect(heard).toHaveLength(2);
    expect(heard[0]?.length).toBeGreaterThan(4);
    expect(heard[1]).toEqual(heard[0]);
    expect(server.requests).toHaveLength(1);
    const tokens = (await eventsOf(runtime.db, run.run_id))
      .filter(({ event }) => event === "messages")
      .map(({ data, attempt }) => ({ attempt, text: (data as [{ content: string }])[0].content }));
    const textOf = (attempt: number): string =>
      tokens
        .filter((token) => token.attempt === attempt)
        .map(({ text }) => text)
        .join("");
    expect(textOf(1)).toBe("a longer answer in pieces");
    expect(textOf(2)).toBe(textOf(1));
  });

  it("tells equal requests of one task apart by their order", async () => {
    const server = await serverWith((request) => say(`#${request.index}`));
    const graph = asking(
      async () => {
        const model = modelOf(server);
        const first = await model.invoke("again?");
        return `${first.text} ${(await model.invoke("again?")).text}`;
      },
      { failing: once() },
    );
    const runtime = await runtimeWith(graph);
    runtime.work();
    const ended = await endedAfterRetries(runtime, (await accepted(runtime)).run_id);
    expect(said(ended)).toBe("#0 #1");
    expect(server.requests).toHaveLength(2);
    expect(await callsOf(runtime)).toMatchObject([{ nth: 0 }, { nth: 1 }]);
  });

  it("of a node that LangGraph retries itself is answered from the journal, too", async () => {
    const server = await serverWith((request) => say(`#${request.index}`));
    const failing = once();
    const graph = new StateGraph(State)
      .addNode(
        "ask",
        async () => {
          const { text } = await modelOf(server).invoke("hi");
          if (failing()) throw new Error("once");
          return { said: text };
        },
        { retryPolicy: { maxAttempts: 3, initialInterval: 1, jitter: false, logWarning: false } },
      )
      .addEdge("__start__", "ask")
      .compile();
    const runtime = await runtimeWith(graph);
    runtime.work();
    const ended = await untilEnded(runtime, (await accepted(runtime)).run_id);
    expect(said(ended)).toBe("#0");
    expect(server.requests).toHaveLength(1);
  });

  it("in a subgraph without a checkpointer asks again: its task ids do not last", async () => {
    const server = await serverWith((request) => say(`#${request.index}`));
    const failing = once();
    const inner = new StateGraph(State)
      .addNode("ask", async () => ({ said: (await modelOf(server).invoke("hi")).text }))
      .addNode("fail", () => {
        if (failing()) throw Object.assign(new Error("later"), { name: "Transient" });
        return {};
      })
      .addEdge("__start__", "ask")
      .addEdge("ask", "fail")
      .compile({ checkpointer: false });
    const graph = new StateGraph(State).addNode("inner", inner).addEdge("__start__", "inner").compile();
    const runtime = await runtimeWith(graph);
    runtime.work();
    const ended = await endedAfterRetries(runtime, (await accepted(runtime)).run_id);
    expect(said(ended)).toBe("#1");
    expect(server.requests).toHaveLength(2);
  });
});

describe("a crash", () => {
  it.each([
    ["model.asked", "before the request is sent", 1, 2],
    ["model.received", "before the answer is stored", 2, 2],
    ["model.answered", "after the answer is stored", 1, 1],
  ] as const)("at %s, %s, lets the provider see %i requests in all", async (name, _, requests, tries) => {
    const server = await serverWith((request) => say(`answer ${request.index}`));
    const graph = asking(async () => (await modelOf(server).invoke("hi")).text);
    const runtime = await runtimeWith(graph);
    const crashes = once();
    let reached: () => void = () => undefined;
    const there = new Promise<void>((resolve) => {
      reached = resolve;
    });
    setFailpoints((at) => {
      if (at !== name || !crashes()) return undefined;
      reached();
      return new Promise(() => undefined);
    });
    runtime.work();
    const run = await accepted(runtime);
    await there;
    await expireLeases(runtime.db);
    runtime.work({ leaseSeconds: 2 });
    const ended = await untilEnded(runtime, run.run_id);
    expect(ended.status).toBe("success");
    expect(said(ended)).toBe(`answer ${requests - 1}`);
    expect(server.requests).toHaveLength(requests);
    expect(await callsOf(runtime)).toMatchObject([{ state: "answered", tries }]);
  });
});

it("an answer that comes after the lease was lost is refused, and so is the next request", async () => {
  const { db } = await runtimeWith(asking(async () => ""));
  const run = await makeRun(db, "running");
  const journal = openJournal({ db, run, settled: async () => undefined, write: (statement) => statement() });
  const place = { taskId: "task", execution: 1, checkpoint: { ns: "", id: "none" }, rootTaskId: "task" };
  const call = await journal.open(place, "a request");
  await call.ask("m", undefined);
  await db.query({ text: "update holdfast.runs set epoch = epoch + 1 where status = 'running'", values: [] });
  const answer = { answer: "[]", model: "m", inputTokens: 1, outputTokens: 1 };
  await expect(call.answered(answer)).rejects.toBeInstanceOf(LeaseLost);
  await expect(call.ask("m", undefined)).rejects.toBeInstanceOf(LeaseLost);
  await expect(journal.open(place, "another")).rejects.toBeInstanceOf(LeaseLost);
  expect(await rowsOf({ db }, "select state, tries, answer from holdfast.model_calls")).toEqual([
    { state: "asked", tries: 1, answer: null },
  ]);
});

describe("agents of the ecosystem", () => {
  const weather = tool(async ({ city }: { city: string }) => `sunny in ${city}`, {
    name: "weather",
    description: "The weather",
    schema: z.object({ city: z.string() }),
  });
  const script: Script = [
    { kind: "tool_calls", calls: [{ id: "call_0", name: "weather", args: { city: "Paris" } }] },
    { kind: "tool_calls", calls: [{ id: "call_1", name: "weather", args: { city: "Rome" } }] },
    say("sunny in both"),
  ];
  it.each([
    ["createReactAgent", (llm: DurableChatModel) => createReactAgent({ llm, tools: [weather] })],
    ["createAgent", (model: DurableChatModel) => createAgent({ model, tools: [weather] }).graph],
  ])("%s asks through the journal, and I13: its tokens are the server's bill", async (_, agentOf) => {
    const server = await serverWith(script);
    const agent = agentOf(modelOf(server));
    const runtime = await runtimeWith(agent);
    runtime.work();
    const input = { messages: [{ role: "user", content: "Weather in Paris and Rome?" }] };
    const run = await accepted(runtime, { kwargs: { input, stream_mode: ["messages-tuple"] } });
    const ended = await untilEnded(runtime, run.run_id);
    expect(ended.error).toBeNull();
    expect(ended.status).toBe("success");
    const messages = JSON.parse(ended.output ?? "null").messages as { type: string; content: string }[];
    expect(messages.map(({ content }) => content)).toEqual([
      "Weather in Paris and Rome?",
      "",
      "sunny in Paris",
      "",
      "sunny in Rome",
      "sunny in both",
    ]);
    expect(server.requests[0]?.body.tools).toMatchObject([
      { type: "function", function: { name: "weather" } },
    ]);
    const [{ sum } = {}] = await rowsOf(
      runtime,
      "select sum(input_tokens + output_tokens)::int as sum from holdfast.model_calls",
    );
    expect(sum).toBe(server.billedTokens());
    expect((await callsOf(runtime)).map(({ tries }) => tries)).toEqual([1, 1, 1]);
  });

  it("structured output comes through tools, JSON mode and a JSON schema", async () => {
    const City = z.object({ city: z.string() });
    const server = await serverWith([
      { kind: "tool_calls", calls: [{ id: "call_0", name: "extract", args: { city: "Paris" } }] },
      { kind: "json", value: { city: "Rome" } },
      { kind: "json", value: { city: "Oslo" } },
    ]);
    const graph = asking(async () => {
      const model = modelOf(server);
      const one = await model.withStructuredOutput(City).invoke("where?");
      const two = await model.withStructuredOutput(City, { method: "jsonMode" }).invoke("where? JSON");
      const three = await model.withStructuredOutput(City, { method: "jsonSchema" }).invoke("where?");
      return `${one.city} ${two.city} ${three.city}`;
    });
    const runtime = await runtimeWith(graph);
    runtime.work();
    const ended = await untilEnded(runtime, (await accepted(runtime)).run_id);
    expect(said(ended)).toBe("Paris Rome Oslo");
    expect(server.requests.map(({ body }) => body.response_format?.type)).toEqual([
      undefined,
      "json_object",
      "json_schema",
    ]);
  });

  it("answer outside a run without a journal", async () => {
    const server = await serverWith([say("hello")]);
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("ask", async (state) => ({ messages: [await modelOf(server).invoke(state.messages)] }))
      .addEdge("__start__", "ask")
      .compile();
    const { messages } = await graph.invoke({ messages: [new HumanMessage("hi")] });
    expect(messages.at(-1)?.content).toBe("hello");
  });
});

it("attempts are listed once per failure", async () => {
  const server = await serverWith([{ kind: "status", status: 500 }, say("fine")]);
  const runtime = await runtimeWith(asking(async () => (await modelOf(server).invoke("hi")).text));
  runtime.work();
  const run = await accepted(runtime);
  await endedAfterRetries(runtime, run.run_id);
  expect(await attemptsOf(runtime, run.run_id)).toEqual(["retry", "success"]);
});
