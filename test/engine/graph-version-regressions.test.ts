import { setImmediate as nextTurn } from "node:timers/promises";
import { END, interrupt, type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { effect } from "../../src/effects/effect.ts";
import { runById } from "../support/factory.ts";
import {
  accepted,
  answering,
  LogState,
  logOf,
  questionsOf,
  rowsOf,
  runtimeWith,
  signal,
  workedThread,
} from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

type Gate = (state: unknown, config: LangGraphRunnableConfig) => object | Promise<object>;

/** A gate and a payment behind it; the second version differs from the first by its payment alone. */
function gated(gate: Gate, { version, did }: { version: 1 | 2; did: string[] }) {
  const first = () => {
    did.push("pay");
    return { log: ["pay"] };
  };
  const second = () => {
    did.push("pay 2");
    return { log: ["pay 2"] };
  };
  return new StateGraph(LogState)
    .addNode("gate", gate)
    .addNode("pay", version === 1 ? first : second)
    .addEdge(START, "gate")
    .addEdge("gate", "pay")
    .addEdge("pay", END)
    .compile();
}

const asks: Gate = () => ({ log: [`gate:${interrupt("ok?")}`] });

describe("an answer that meets another version of its graph", () => {
  it("goes on where the question is still asked, and an effect before it is not repeated", async () => {
    const did: string[] = [];
    const gate: Gate = async (state, config) => {
      await effect({ name: "mail", args: 1 }, async () => did.push("mail"));
      return asks(state, config);
    };
    const before = await runtimeWith(gated(gate, { version: 1, did }));
    const threadId = await workedThread(before);
    const after = await runtimeWith(gated(gate, { version: 2, did }), before.url);
    after.work();
    const run = await untilEnded(
      after,
      (await accepted(after, { threadId, kwargs: answering("yes") })).run_id,
    );
    expect(run).toMatchObject({ status: "success", error: null });
    expect(logOf(run)).toEqual(["gate:yes", "pay 2"]);
    expect(did).toEqual(["mail", "pay 2"]);
    expect(await questionsOf(after)).toEqual([{ status: "decided", decision: '"yes"' }]);
  });

  it("ends as a mismatch where the question is gone, does nothing, and gives the answer back", async () => {
    const did: string[] = [];
    const before = await runtimeWith(gated(asks, { version: 1, did }));
    const threadId = await workedThread(before);
    const asksNothing: Gate = () => ({ log: ["gate: by itself"] });
    const after = await runtimeWith(gated(asksNothing, { version: 2, did }), before.url);
    after.work();
    const run = await untilEnded(
      after,
      (await accepted(after, { threadId, kwargs: answering("no") })).run_id,
    );
    expect(run).toMatchObject({ status: "error", error: { code: "graph_version_mismatch" } });
    expect(did).toEqual([]);
    expect(await questionsOf(after)).toEqual([{ status: "open", decision: null }]);
    expect(await rowsOf(after, "select 1 from public.checkpoints where run_id = $1", run.run_id)).toEqual([]);
  });

  it("lets the node see its configuration when it asks again", async () => {
    const did: string[] = [];
    const gate: Gate = (_state, { configurable }) => {
      const { name } = (configurable as { user: { name: string } }).user;
      return { log: [`${name}:${interrupt("ok?")}`] };
    };
    const config = { configurable: { user: { name: "ann" } } };
    const before = await runtimeWith(gated(gate, { version: 1, did }));
    const threadId = await workedThread(before, { kwargs: { input: {}, stream_mode: ["values"], config } });
    const after = await runtimeWith(gated(gate, { version: 2, did }), before.url);
    after.work();
    const { run_id: runId } = await accepted(after, { threadId, kwargs: { ...answering("yes"), config } });
    const run = await untilEnded(after, runId);
    expect(run).toMatchObject({ status: "success", error: null });
    expect(logOf(run)).toEqual(["ann:yes", "pay 2"]);
  });
});

describe("a run in the middle of its steps that meets another version of its graph", () => {
  /** Three steps, of which the first can be held, and the second bears the given name. */
  function threeSteps(second: string, did: string[], hold?: () => Promise<void>, last = "c") {
    const step = (name: string) => async () => {
      if (name === "a") await hold?.();
      did.push(name);
      return { log: [name] };
    };
    return new StateGraph(LogState)
      .addNode("a", step("a"))
      .addNode(second, step(second))
      .addNode("c", step(last))
      .addEdge(START, "a")
      .addEdge("a", second as "a")
      .addEdge(second as "a", "c")
      .addEdge("c", END)
      .compile();
  }

  async function drainedBehindA(did: string[]) {
    const begun = signal();
    const goOn = signal();
    const hold = () => {
      begun.give();
      return goOn.given;
    };
    const before = await runtimeWith(threeSteps("b", did, hold));
    // With its one slot full, a worker that stops asks for the drain within the same turn.
    const { stop } = before.work({ slotsMax: 1 });
    const run = await accepted(before);
    await begun.given;
    const stopped = stop(20_000);
    await nextTurn();
    goOn.give();
    await stopped;
    expect(await runById(before.db, run.run_id)).toMatchObject({ status: "queued" });
    expect(did).toEqual(["a"]);
    return { before, run };
  }

  it("ends as a mismatch when the node that was due is gone, and not as a success", async () => {
    const did: string[] = [];
    const { before, run } = await drainedBehindA(did);
    const after = await runtimeWith(threeSteps("renamed", did), before.url);
    after.work();
    expect(await untilEnded(after, run.run_id)).toMatchObject({
      status: "error",
      output: null,
      error: { code: "graph_version_mismatch" },
    });
    expect(did).toEqual(["a"]);
  });

  it("goes on when the node that was due is still there", async () => {
    const did: string[] = [];
    const { before, run } = await drainedBehindA(did);
    const after = await runtimeWith(
      threeSteps("b", did, async () => {}, "another c"),
      before.url,
    );
    after.work();
    const ended = await untilEnded(after, run.run_id);
    expect(ended).toMatchObject({ status: "success" });
    expect(logOf(ended)).toEqual(["a", "b", "another c"]);
  });
});
