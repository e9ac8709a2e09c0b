import { AIMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { Annotation, END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { effectsOfThread } from "../../src/db/queries/effect-reads.ts";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { createRun } from "../../src/queue/create.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { expireLeases, runRequest } from "../support/factory.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { untilEnded } from "../support/watch.ts";

let runtime: TestRuntime | undefined;
afterEach(async () => {
  setFailpoints(undefined);
  await runtime?.close();
  runtime = undefined;
});

async function runOf(graph: unknown, input: unknown): Promise<RunWithOutput> {
  runtime = await startRuntime({ registry: await registryOf("any", graph) });
  runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
  runtime.work({ pollMillis: 20 });
  const { run } = await createRun(
    runtime.db,
    runRequest({ graphId: "any", kwargs: { input, stream_mode: ["values"] } }),
  );
  runtime.bus.publish("queue", run.thread_id);
  const forward = setInterval(() => runtime?.clock.advance(1_000), 20);
  return untilEnded(runtime, run.run_id).finally(() => clearInterval(forward));
}
const ledgerOf = async ({ thread_id: threadId }: RunWithOutput) =>
  (await effectsOfThread((runtime as TestRuntime).db, { threadId, tenant: "default" })).map(
    ({ state }) => state,
  );

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
type Sends = { calls: string[] };

function paying(world: Sends, kind: "idempotent" | "at_most_once", argsOf: () => unknown = () => 1) {
  return new StateGraph(State)
    .addNode("pay", async () => {
      const receipt = await effect({ name: "pay", args: argsOf(), class: kind }, async (key) => {
        world.calls.push(key);
        return `receipt ${world.calls.length}`;
      });
      return { log: [receipt] };
    })
    .addEdge(START, "pay")
    .addEdge("pay", END)
    .compile();
}

/** Fails the attempt once, where a crash would have cut it. */
function failOnceAt(boundary: string): void {
  let armed = true;
  setFailpoints((name) => {
    if (name !== boundary || !armed) return undefined;
    armed = false;
    throw new Transient("cut off here");
  });
}

/** Another worker takes over at this point, as after a long stop. */
function loseLeaseOnceAt(boundary: string): void {
  let armed = true;
  setFailpoints(async (name) => {
    if (name !== boundary || !armed || runtime === undefined) return;
    armed = false;
    await expireLeases(runtime.db);
    await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
  });
}

describe("an effect", () => {
  it("returns its stored result when the step is repeated, and is not performed again", async () => {
    const world: Sends = { calls: [] };
    failOnceAt("effect.succeeded");
    const run = await runOf(paying(world, "at_most_once"), {});
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(JSON.parse(run.output ?? "").log).toEqual(["receipt 1"]);
    expect(world.calls).toHaveLength(1);
    expect(await ledgerOf(run)).toEqual(["succeeded"]);
  });

  it("goes on when it was only prepared", async () => {
    const world: Sends = { calls: [] };
    failOnceAt("effect.prepared");
    expect(await runOf(paying(world, "at_most_once"), {})).toMatchObject({ status: "success" });
    expect(world.calls).toHaveLength(1);
  });

  it("whose answer was lost is sent again with the same key only where the author said so", async () => {
    const world: Sends = { calls: [] };
    failOnceAt("effect.performed");
    expect(await runOf(paying(world, "idempotent"), {})).toMatchObject({ status: "success" });
    expect(world.calls).toHaveLength(2);
    expect(new Set(world.calls).size).toBe(1);
  });

  it("whose answer was lost otherwise asks a human, and is not repeated by itself", async () => {
    const world: Sends = { calls: [] };
    failOnceAt("effect.performed");
    const run = await runOf(paying(world, "at_most_once"), {});
    expect(run).toMatchObject({ status: "success" });
    expect(await ledgerOf(run)).toEqual(["escalated"]);
    expect(world.calls).toHaveLength(1);
  });

  it("that took place is refused when the repeated step asks for something else", async () => {
    const world: Sends = { calls: [] };
    let amount = 0;
    failOnceAt("effect.succeeded");
    const run = await runOf(
      paying(world, "at_most_once", () => {
        amount += 100;
        return { amount };
      }),
      {},
    );
    expect(run).toMatchObject({ status: "error", error: { code: "effect_args_changed" } });
    expect(world.calls).toHaveLength(1);
  });

  it("in a tool asks a human, although the tool node swallows what tools throw", async () => {
    const world: Sends = { calls: [] };
    const pay = tool(
      () =>
        effect({ name: "pay", args: 1 }, async (key) => {
          world.calls.push(key);
          return "paid";
        }),
      { name: "pay", description: "pays", schema: z.object({}) },
    );
    const asks = new AIMessage({
      content: "",
      tool_calls: [{ id: "c1", name: "pay", args: {}, type: "tool_call" }],
    });
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("ask", () => ({ messages: [asks] }))
      .addNode("tools", new ToolNode([pay], { handleToolErrors: true }))
      .addEdge(START, "ask")
      .addEdge("ask", "tools")
      .addEdge("tools", END)
      .compile();
    loseLeaseOnceAt("effect.performed");
    const run = await runOf(graph, { messages: [] });
    expect(run).toMatchObject({ status: "success", crashes: 1 });
    expect(world.calls).toHaveLength(1);
    expect(await ledgerOf(run)).toEqual(["escalated"]);
  });
});
