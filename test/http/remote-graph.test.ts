import path from "node:path";
import {
  Annotation,
  Command,
  END,
  isGraphInterrupt,
  MemorySaver,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { RemoteGraph } from "@langchain/langgraph/remote";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRegistry } from "../../src/engine/registry.ts";
import { listen } from "../../src/http/listen.ts";
import { senderOf } from "../support/dead-letters.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";

let runtime: TestRuntime;
let server: Awaited<ReturnType<typeof listen>>;
beforeAll(async () => {
  const file = path.resolve(import.meta.dirname, "../graphs/http/langgraph.json");
  runtime = await startRuntime({ registry: await loadRegistry(file, (module) => import(module)) });
  runtime.work();
  server = await listen({ app: senderOf(runtime).app, host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await server.stop();
  await runtime.close();
});

const remote = (graphId: string): RemoteGraph => new RemoteGraph({ graphId, url: server.url });
/** A thread that the first run makes. */
const onThread = () => ({ configurable: { thread_id: crypto.randomUUID() } });

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The questions that stopped an invocation. */
async function questionsOf(stopped: Promise<unknown>): Promise<unknown[]> {
  const error = await stopped.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isGraphInterrupt(error)) throw error ?? new Error("it did not stop");
  return error.interrupts.map(({ value }) => value);
}

describe("a RemoteGraph", () => {
  it("invokes and streams a graph, with a thread and without", async () => {
    const steps = remote("steps");
    expect(await steps.invoke({ seen: ["in"] })).toEqual({ seen: ["in", "one", "two"] });
    const streamed = await collect(
      await steps.stream({ seen: [] }, { ...onThread(), streamMode: ["updates", "values"] }),
    );
    expect(streamed).toEqual([
      ["values", { seen: [] }],
      ["updates", { one: { seen: ["one"] } }],
      ["values", { seen: ["one"] }],
      ["updates", { two: { seen: ["two"] } }],
      ["values", { seen: ["one", "two"] }],
    ]);
    await expect(remote("fails").invoke({})).rejects.toThrow("Boo!");
  });

  it("reads and writes the state of a thread, its history, and goes on from an older checkpoint", async () => {
    const steps = remote("steps");
    const config = onThread();
    await steps.invoke({ seen: ["in"] }, config);
    const state = await steps.getState(config);
    expect(state).toMatchObject({ values: { seen: ["in", "one", "two"] }, next: [], tasks: [] });
    const history = await collect(steps.getStateHistory(config));
    expect(history.map(({ next }) => next)).toEqual([[], ["two"], ["one"], ["__start__"]]);
    const [, beforeTwo] = history;
    const forked = await steps.updateState(beforeTwo?.config ?? {}, { seen: ["edited"] }, "one");
    expect((await steps.getState(forked)).values).toEqual({ seen: ["in", "one", "edited"] });
    expect(await steps.invoke(null, config)).toEqual({ seen: ["in", "one", "edited", "two"] });
    const limited = await collect(steps.getStateHistory(config, { limit: 2 }));
    expect(limited).toHaveLength(2);
    const older = await collect(steps.getStateHistory(config, { before: beforeTwo?.config ?? {} }));
    expect(older.map(({ next }) => next)).toEqual([["one"], ["__start__"]]);
  });

  it("stops at a question and takes its answer as a command", async () => {
    const asks = remote("asks");
    const config = onThread();
    expect(await questionsOf(asks.invoke({ seen: [] }, config))).toEqual(["first?"]);
    expect((await asks.getState(config)).tasks[0]?.interrupts[0]).toMatchObject({ value: "first?" });
    expect(await questionsOf(asks.invoke(new Command({ resume: "A" }), config))).toEqual(["second?"]);
    expect(await asks.invoke(new Command({ resume: "B" }), config)).toMatchObject({ answer: ["A", "B"] });
  });

  it("shows its drawing and its subgraphs", async () => {
    const nested = remote("nested");
    const drawn = await nested.getGraphAsync();
    expect(Object.keys(drawn.nodes)).toEqual(expect.arrayContaining(["__start__", "outer", "__end__"]));
    const subgraphs = await collect(nested.getSubgraphsAsync());
    expect(subgraphs.map(([name]) => name)).toEqual(["outer"]);
  });

  it("is a node of another graph, and its question stops that graph", async () => {
    const State = Annotation.Root({
      seen: Annotation<string[]>({ reducer: (a, b) => [...new Set([...a, ...b])], default: () => [] }),
      answer: Annotation<unknown>(),
    });
    const around = (graphId: string) =>
      new StateGraph(State)
        .addNode("before", () => ({ seen: ["before"] }))
        .addNode("remote", remote(graphId))
        .addEdge(START, "before")
        .addEdge("before", "remote")
        .addEdge("remote", END)
        .compile({ checkpointer: new MemorySaver() });
    const config = onThread();
    expect(await around("steps").invoke({ seen: [] }, config)).toEqual({ seen: ["before", "one", "two"] });
    expect((await remote("steps").getState(config)).values).toEqual({ seen: ["before", "one", "two"] });
    const parts = await collect(
      await around("nested").stream({ seen: [] }, { ...onThread(), streamMode: "updates", subgraphs: true }),
    );
    expect(parts.at(-1)).toEqual([
      [],
      { __interrupt__: [expect.objectContaining({ value: { question: "inside?" } })] },
    ]);
  });
});
