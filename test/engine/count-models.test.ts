import { createRequire } from "node:module";
import { CallbackManager } from "@langchain/core/callbacks/manager";
import { AIMessage, AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { ChatGenerationChunk } from "@langchain/core/outputs";
import type { RunnableConfig } from "@langchain/core/runnables";
import { tool } from "@langchain/core/tools";
import { FakeStreamingChatModel } from "@langchain/core/utils/testing";
import { interrupt, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { openGraphModules } from "../../src/graph-modules.ts";
import { openMetrics } from "../../src/observe/metrics.ts";
import { countModels } from "../../src/observe/tokens.ts";
import { accepted, answering, LogState, runtimeWith, workedThread } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

const usage_metadata = { input_tokens: 30, output_tokens: 4, total_tokens: 34 };
const answer = { content: "yes", response_metadata: { model_name: "some-model" } };

/** LangChain's own model, as a graph may use any: nothing of it is ours. */
class Model extends FakeStreamingChatModel {
  override async _generate(_: BaseMessage[]) {
    return {
      generations: [{ text: "yes", message: Object.assign(new AIMessage(answer), { usage_metadata }) }],
    };
  }
  override async *_streamResponseChunks(_: BaseMessage[]) {
    yield new ChatGenerationChunk({
      text: "yes",
      message: Object.assign(new AIMessageChunk(answer), { usage_metadata }),
    });
  }
}
const model = new Model({});

const ask = tool(async () => (await model.invoke("in a tool")).content, {
  name: "ask",
  schema: z.object({}),
});

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

const ways: Record<string, (config: RunnableConfig) => unknown> = {
  "without its config": () => model.invoke("x"),
  "with its config": (config) => model.invoke("x", config),
  "with metadata of its own": () => model.invoke("x", { metadata: { mine: true } }),
  "with callbacks of its own": () => model.invoke("x", { callbacks: [{ handleLLMEnd: () => undefined }] }),
  "as a stream": async () => drain(await model.stream("x")),
  "in a tool": () => ask.invoke({}),
  "in a chain": () => model.pipe((message) => message.content).invoke("x"),
};

/** Runs a graph of one node once. */
async function countedOf(node: (config: RunnableConfig) => unknown, modes: string[] = ["values"]) {
  const graph = new StateGraph(LogState)
    .addNode("node", async (_, config) => {
      await node(config);
      return {};
    })
    .addEdge(START, "node");
  const runtime = await runtimeWith(graph.compile());
  runtime.work();
  const { run_id } = await accepted(runtime, { kwargs: { input: {}, stream_mode: modes } });
  const run = await untilEnded(runtime, run_id);
  expect(run.status).toBe("success");
  return (await runtime.metrics.tokens.get()).values.map(({ labels, value }) => ({ ...labels, value }));
}

describe("tokens of a model that a node calls are counted once", () => {
  it.each(Object.entries(ways))("%s", async (_, way) => {
    const counted = await countedOf(way);
    expect(counted).toEqual([{ agent_name: "any", model: "some-model", value: 34 }]);
  });

  it.each(["messages", "events"])("while a client hears of it by the mode %s", async (mode) => {
    const counted = await countedOf(() => model.invoke("x"), [mode]);
    expect(counted).toEqual([{ agent_name: "any", model: "some-model", value: 34 }]);
  });

  it("in each branch of a step that asks many at a time", async () => {
    const counted = await countedOf((config) =>
      Promise.all([ask.invoke({}, config), model.batch(["a", "b"]), model.invoke("c", config)]),
    );
    expect(counted).toEqual([{ agent_name: "any", model: "some-model", value: 4 * 34 }]);
  });
});

it("a model is counted that asks again what a changed graph was asked before", async () => {
  let asked = 0;
  const asking = (then: () => object) =>
    new StateGraph(LogState)
      .addNode("gate", async () => {
        asked += 1;
        await model.invoke("may I?");
        return { log: [String(interrupt("ok?"))] };
      })
      .addNode("then", then)
      .addEdge(START, "gate")
      .addEdge("gate", "then")
      .compile();
  const before = await runtimeWith(asking(() => ({ log: ["old"] })));
  const threadId = await workedThread(before);
  const after = await runtimeWith(
    asking(() => ({ log: ["new"] })),
    before.url,
  );
  after.work();
  const { run_id } = await accepted(after, { threadId, kwargs: answering("yes") });
  expect((await untilEnded(after, run_id)).status).toBe("success");
  // At first, to see whether it asks the same, and to go on.
  expect(asked).toBe(3);
  expect((await after.metrics.tokens.get()).values).toMatchObject([{ value: 2 * 34 }]);
});

it("a module that is required has the same LangChain, also where no project file needs a compiler", () => {
  openGraphModules();
  const required = createRequire(import.meta.url)("@langchain/core/callbacks/manager");
  expect(required.CallbackManager).toBe(CallbackManager);
});

it("a node that calls no model has no callback manager made for it", async () => {
  let seen: RunnableConfig | undefined;
  expect(
    await countedOf((config) => {
      seen = config;
    }),
  ).toEqual([]);
  expect(seen?.metadata).toHaveProperty("run_id");
  expect(seen?.callbacks).toBeUndefined();
});

it("a model that is called outside of a run, or after its end, is nobody's", async () => {
  const metrics = openMetrics();
  const metadata = { run_id: "run-1" };
  const stop = countModels("run-1", { metrics, graphId: "one" });
  onTestFinished(stop);
  await model.invoke("outside");
  await model.invoke("within", { metadata });
  const later = countModels("run-1", { metrics, graphId: "two" });
  // The attempt before it ends after the next one has begun.
  stop();
  await model.invoke("within", { metadata });
  later();
  await model.invoke("after", { metadata });
  expect((await metrics.tokens.get()).values).toMatchObject([
    { labels: { agent_name: "one" }, value: 34 },
    { labels: { agent_name: "two" }, value: 34 },
  ]);
  expect(CallbackManager.configure(undefined, undefined, undefined, undefined, metadata)).toBeUndefined();
});
