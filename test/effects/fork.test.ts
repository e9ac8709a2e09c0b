import { interrupt } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { effectsBehind } from "../../src/db/queries/forks.ts";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { effect } from "../../src/effects/effect.ts";
import { createRun } from "../../src/queue/create.ts";
import { type Bench, benchWith, failOnceAt, graphOf, ledgerRows, openQuestions } from "../support/effects.ts";
import { runRequest } from "../support/factory.ts";
import { answering, logOf, rowsOf } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

function till() {
  const keys: string[] = [];
  const pay = (): Promise<string> =>
    effect({ name: "pay", class: "idempotent", args: 1 }, async (key) => {
      keys.push(key);
      return `paid ${keys.length}`;
    });
  return { keys, pay };
}

/** A run that starts where the thread's first effect was performed. */
async function fork(bench: Bench, threadId: string, policy: "reuse" | "repeat"): Promise<RunWithOutput> {
  const { db, clock } = bench.runtime;
  const [first] = await ledgerRows(bench.runtime);
  const kwargs = {
    input: null,
    checkpoint: { checkpoint_id: String(first?.checkpoint_id) },
    stream_mode: ["values"],
  };
  const request = runRequest({ graphId: "any", threadId, kwargs, effectsPolicy: policy });
  const { run } = await createRun(db, request);
  bench.runtime.bus.publish("queue", threadId);
  const forward = setInterval(() => clock.advance(1_000), 20);
  return untilEnded(bench.runtime, run.run_id).finally(() => clearInterval(forward));
}

describe("a fork behind an effect", () => {
  it("takes the stored result under the policy reuse, and names its source, however it is cut", async () => {
    const { keys, pay } = till();
    const bench = await benchWith(graphOf(pay));
    const { thread_id: threadId } = await bench.run();
    failOnceAt("effect.prepared");
    const run = await fork(bench, threadId, "reuse");
    expect(logOf(run)).toEqual(['"paid 1"']);
    expect(keys).toHaveLength(1);
    const [first, second] = await ledgerRows(bench.runtime);
    expect(second).toMatchObject({ state: "succeeded", dispatches: 0, reuses: first?.effect_id });
  });

  it("takes each stored result once under the policy reuse, and makes what was not made before", async () => {
    const { keys, pay } = till();
    let calls = 2;
    const bench = await benchWith(
      graphOf(async () => {
        const paid: string[] = [];
        for (let nth = 0; nth < calls; nth += 1) paid.push(await pay());
        return paid;
      }),
    );
    const { thread_id: threadId } = await bench.run();
    calls = 3;
    expect(logOf(await fork(bench, threadId, "reuse"))).toEqual(['["paid 1","paid 2","paid 3"]']);
    expect(keys).toHaveLength(3);
  });

  it("goes on under its policy when its step asks and is answered", async () => {
    const { keys, pay } = till();
    const bench = await benchWith(graphOf(async () => [interrupt("may I?"), await pay()]));
    const { thread_id: threadId } = await bench.run();
    await bench.run({ threadId, kwargs: answering("a") });
    await fork(bench, threadId, "reuse");
    const [question] = await openQuestions(bench.runtime, threadId);
    expect(question).toBeDefined();
    expect(logOf(await bench.run({ threadId, kwargs: answering("b") }))).toEqual(['["b","paid 1"]']);
    expect(keys).toHaveLength(1);
  });

  it("performs it again with another key under the policy repeat, once however it is cut", async () => {
    const { keys, pay } = till();
    const bench = await benchWith(graphOf(pay));
    const { thread_id: threadId } = await bench.run();
    failOnceAt("effect.succeeded");
    const run = await fork(bench, threadId, "repeat");
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(logOf(run)).toEqual(['"paid 2"']);
    expect(new Set(keys).size).toBe(2);
    expect(keys).toHaveLength(2);
  });

  it("under the policy repeat does not perform it a third time when its step asks and is answered", async () => {
    const { keys, pay } = till();
    const bench = await benchWith(
      graphOf(async () => {
        const paid = await pay();
        return [paid, interrupt("fine?"), interrupt("really?")];
      }),
    );
    const { thread_id: threadId } = await bench.run();
    await bench.run({ threadId, kwargs: answering("a") });
    await bench.run({ threadId, kwargs: answering("b") });
    await fork(bench, threadId, "repeat");
    await bench.run({ threadId, kwargs: answering("c") });
    expect(logOf(await bench.run({ threadId, kwargs: answering("d") }))).toEqual(['["paid 2","c","d"]']);
    expect(keys, "one payment for each of the two passes").toHaveLength(2);
  });
});

describe("the effects behind a checkpoint", () => {
  it("are those of its own step and later ones, without readings", async () => {
    const { pay } = till();
    const bench = await benchWith(
      graphOf(async () => [
        await effect({ name: "look", class: "read", args: 1 }, async () => 1),
        await pay(),
      ]),
    );
    const { thread_id: threadId } = await bench.run();
    const chain = await rowsOf(
      bench.runtime,
      "select checkpoint_id from public.checkpoints where thread_id = $1 and checkpoint_ns = '' order by seq",
      threadId,
    );
    const behind: unknown[] = [];
    for (const { checkpoint_id } of chain) {
      const place = { threadId, checkpointId: String(checkpoint_id), limit: 10, strict: true };
      behind.push((await effectsBehind(bench.runtime.db, place)).map(({ tool }) => tool));
    }
    // Input, the start that the step runs on, its end.
    expect(behind).toEqual([["pay"], ["pay"], []]);
  });
});
