import { END, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it, onTestFinished } from "vitest";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { startPostgresProxy } from "../support/postgres-proxy.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, attemptsOf, LogState, logOf, rowsOf, runtimeWith, signal } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

/** Pays once for each call, and counts. */
function till() {
  const paid = { times: 0 };
  const pay = (args: unknown = 1): Promise<number> =>
    effect({ name: "pay", args }, async () => {
      paid.times += 1;
      return paid.times;
    });
  return { paid, pay };
}

const again = (): Transient => new Transient("once more", { retryAfterMs: 0 });

async function ended(runtime: TestRuntime): Promise<RunWithOutput> {
  runtime.work();
  return untilEnded(runtime, (await accepted(runtime)).run_id);
}

const ledgerOf = async (runtime: TestRuntime): Promise<unknown[]> =>
  (await rowsOf(runtime, "select ordinal, state from holdfast.effects order by ordinal")).map(
    ({ ordinal, state }) => `${ordinal} ${state}`,
  );

describe("an effect in a node with a retryPolicy", () => {
  it("pays once, however often LangGraph repeats the node", async () => {
    const { paid, pay } = till();
    let executions = 0;
    const node = async () => {
      const receipt = await pay();
      if (++executions < 3) throw new Error("flaky behind the effect");
      return { log: [`paid ${receipt}`] };
    };
    const retryPolicy = { maxAttempts: 3, initialInterval: 1, retryOn: () => true, logWarning: false };
    const graph = new StateGraph(LogState)
      .addNode("pay", node, { retryPolicy })
      .addEdge(START, "pay")
      .addEdge("pay", END)
      .compile();
    const runtime = await runtimeWith(graph);
    const run = await ended(runtime);
    expect(run).toMatchObject({ status: "success", attempt: 1 });
    expect(logOf(run)).toEqual(["paid 1"]);
    expect({ ...paid, executions }).toEqual({ times: 1, executions: 3 });
    expect(await ledgerOf(runtime)).toEqual(["0 succeeded"]);
  });

  it("still pays for each of two equal calls of one execution", async () => {
    const { paid, pay } = till();
    let executions = 0;
    const node = async () => {
      const receipts = [await pay(), await pay()];
      if (++executions < 2) throw new Error("flaky behind the effects");
      return { log: receipts.map(String) };
    };
    const retryPolicy = { maxAttempts: 2, initialInterval: 1, retryOn: () => true, logWarning: false };
    const graph = new StateGraph(LogState)
      .addNode("pay", node, { retryPolicy })
      .addEdge(START, "pay")
      .addEdge("pay", END)
      .compile();
    const runtime = await runtimeWith(graph);
    expect(logOf(await ended(runtime))).toEqual(["1", "2"]);
    expect(paid.times).toBe(2);
    expect(await ledgerOf(runtime)).toEqual(["0 succeeded", "1 succeeded"]);
  });
});

describe("an effect in a subgraph without a checkpointer", () => {
  const needs = { status: "error", attempt: 1, error: { code: "effect_needs_checkpointer" } };

  it("ends the run with effect_needs_checkpointer, and pays nothing, where the subgraph is a node", async () => {
    const { paid, pay } = till();
    const inner = new StateGraph(LogState)
      .addNode("pay", async () => ({ log: [String(await pay())] }))
      .addNode("then", () => {
        throw again();
      })
      .addEdge(START, "pay")
      .addEdge("pay", "then")
      .addEdge("then", END)
      .compile({ checkpointer: false });
    const graph = new StateGraph(LogState)
      .addNode("inner", inner)
      .addEdge(START, "inner")
      .addEdge("inner", END)
      .compile();
    expect(await ended(await runtimeWith(graph))).toMatchObject(needs);
    expect(paid.times).toBe(0);
  });

  it("ends the run with effect_needs_checkpointer, and pays nothing, where a node invokes it", async () => {
    const { paid, pay } = till();
    const inner = new StateGraph(LogState)
      .addNode("pay", async () => ({ log: [String(await pay())] }))
      .addEdge(START, "pay")
      .addEdge("pay", END)
      .compile({ checkpointer: false });
    const graph = new StateGraph(LogState)
      .addNode("outer", async (state) => {
        const { log } = await inner.invoke(state);
        return { log };
      })
      .addEdge(START, "outer")
      .addEdge("outer", END)
      .compile();
    expect(await ended(await runtimeWith(graph))).toMatchObject(needs);
    expect(paid.times).toBe(0);
  });

  it("is fine with the checkpointer of its parent, and pays once when the run is retried", async () => {
    const { paid, pay } = till();
    let executions = 0;
    const inner = new StateGraph(LogState)
      .addNode("pay", async () => {
        const receipt = await pay();
        if (++executions < 2) throw again();
        return { log: [String(receipt)] };
      })
      .addEdge(START, "pay")
      .addEdge("pay", END)
      .compile();
    const graph = new StateGraph(LogState)
      .addNode("inner", inner)
      .addEdge(START, "inner")
      .addEdge("inner", END)
      .compile();
    expect(await ended(await runtimeWith(graph))).toMatchObject({ status: "success", attempt: 2 });
    expect(paid.times).toBe(1);
  });
});

describe("an effect that has taken place", () => {
  it("succeeds in its first attempt when the database's answer to its end is lost", async () => {
    const direct = await runtimeWith();
    const { hostname, port } = new URL(direct.url);
    const proxy = await startPostgresProxy({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy.stop());
    const { paid, pay } = till();
    const graph = new StateGraph(LogState)
      .addNode("pay", async () => ({ log: [`paid ${await pay()}`] }))
      .addEdge(START, "pay")
      .addEdge("pay", END)
      .compile();
    const runtime = await runtimeWith(graph, proxy.url(direct.url));
    const cut = proxy.cutAfterServerCommit(/effect\.settle/);
    const run = await ended(runtime);
    await cut;
    expect(run).toMatchObject({ status: "success", attempt: 1, crashes: 0 });
    expect(await attemptsOf(direct, run.run_id)).toEqual(["success"]);
    expect(await ledgerOf(direct)).toEqual(["0 succeeded"]);
    expect(paid.times).toBe(1);
  });

  it("is known as such when a branch beside it failed transiently while it was under way", async () => {
    const underWay = signal();
    const goOn = signal();
    let paid = 0;
    let tries = 0;
    const graph = new StateGraph(LogState)
      .addNode("slow", async () => {
        await effect({ name: "pay", args: 1 }, async () => {
          paid += 1;
          underWay.give();
          await goOn.given;
          return paid;
        });
        return { log: ["slow"] };
      })
      .addNode("flaky", async () => {
        if (++tries > 1) return { log: ["flaky"] };
        await underWay.given;
        // The call comes back only after this branch has failed.
        setTimeout(goOn.give, 200);
        throw again();
      })
      .addEdge(START, "slow")
      .addEdge(START, "flaky")
      .compile();
    const runtime = await runtimeWith(graph);
    const run = await ended(runtime);
    expect(run).toMatchObject({ status: "success", attempt: 2, error: null });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["retry", "success"]);
    expect(await ledgerOf(runtime)).toEqual(["0 succeeded"]);
    expect(paid).toBe(1);
  });
});
