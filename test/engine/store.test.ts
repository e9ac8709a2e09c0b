import { InMemoryStore, type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it, onTestFinished } from "vitest";
import { getItem } from "../../src/db/queries/store.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { expireLeases } from "../support/factory.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted, attemptsOf, LogState, runtimeWith, signal } from "../support/scenario.ts";
import { until, untilEnded } from "../support/watch.ts";

const one = (x: (config: LangGraphRunnableConfig) => Promise<void>) =>
  new StateGraph(LogState)
    .addNode("x", async (_state, config: LangGraphRunnableConfig) => {
      await x(config);
      return { log: ["x"] };
    })
    .addEdge(START, "x")
    .compile();

const place = { tenant: "default", namespace: ["n"], key: "k", refreshTtl: false };

/** Its heartbeats and its looks for cancels fail: of a lost lease the fence alone can tell it. */
function deafen({ db }: TestRuntime): void {
  const { query } = db;
  const heard = /^\/\* claim\.(renew|held) /;
  db.query = (statement) =>
    heard.test(statement.text) ? Promise.reject(new Error("not heard")) : query(statement);
}

function untilFenced({ bus, metrics }: TestRuntime): Promise<true> {
  const look = async () => {
    const { values } = await metrics.fenced.get();
    return values.some(({ labels, value }) => labels.kind === "store" && value === 1) ? true : undefined;
  };
  return until(bus, look, "a store write to be refused");
}

describe("a node that puts into the store", () => {
  it("after its run was taken over writes nothing, and its attempt ends", async () => {
    const begun = signal();
    const goOn = signal();
    let executions = 0;
    const graph = one(async ({ store }) => {
      const mine = ++executions;
      if (mine === 1) {
        begun.give();
        await goOn.given;
      }
      await store?.put(["n"], "k", { by: mine });
    });
    const slow = await runtimeWith(graph);
    deafen(slow);
    slow.work({ slotsMax: 1, reapMillis: 60_000 });
    const run = await accepted(slow);
    await begun.given;
    const other = await startRuntime({ registry: await registryOf("any", graph), url: slow.url });
    onTestFinished(() => other.close());
    await expireLeases(other.db);
    expect((await reapOnce(other, { graceSeconds: 0, ignoreRestart: true })).requeued).toBe(1);
    other.work();
    expect(await untilEnded(other, run.run_id)).toMatchObject({ status: "success" });

    goOn.give();
    await untilFenced(slow);
    expect(await getItem(slow.db, place)).toMatchObject([{ value: { by: 2 } }]);
    expect(await attemptsOf(slow, run.run_id)).toEqual(["crashed", "success"]);
    expect(executions).toBe(2);
  });

  it("what JSON cannot hold ends its run, with the place named, and stores nothing", async () => {
    const runtime = await runtimeWith(
      one(async ({ store }) => {
        await store?.put(["n"], "k", { seen: new Set(["a"]) });
      }),
    );
    runtime.work();
    const run = await accepted(runtime);
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({
      status: "error",
      attempt: 1,
      error: { code: "unstorable_value", message: "store item k cannot be stored: seen is a Set" },
    });
    expect(await getItem(runtime.db, place)).toEqual([]);
  });

  it("a text that Postgres refuses ends its run after one attempt", async () => {
    const runtime = await runtimeWith(
      one(async ({ store }) => {
        await store?.put(["n"], "k", { text: "a\u0000b" });
      }),
    );
    runtime.work();
    const run = await accepted(runtime);
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ status: "error", attempt: 1 });
    expect(await getItem(runtime.db, place)).toEqual([]);
  });

  it("uses the server's store, also when its graph was compiled with another one", async () => {
    const memory = new InMemoryStore();
    const graph = new StateGraph(LogState)
      .addNode("x", async (_state, { store }: LangGraphRunnableConfig) => {
        await store?.put(["n"], "k", { n: 1 });
        return { log: ["x"] };
      })
      .addEdge(START, "x")
      .compile({ store: memory });
    const runtime = await runtimeWith(graph);
    runtime.work();
    const run = await accepted(runtime);
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ status: "success" });
    expect(await getItem(runtime.db, place)).toMatchObject([{ value: { n: 1 } }]);
    expect(await memory.get(["n"], "k")).toBeNull();
    expect(graph.store).toBe(memory);
  });
});
