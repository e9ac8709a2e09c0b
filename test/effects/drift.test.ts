import { describe, expect, it } from "vitest";
import type { EffectDeclaration } from "../../src/domain/effect.ts";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { benchWith, failOnceAt, graphOf, ledgerRows, openQuestions, statesOf } from "../support/effects.ts";
import { logOf } from "../support/scenario.ts";

/** Asks for another amount at each execution, as a model that is called again may. */
function drifting(
  declaration: Partial<EffectDeclaration>,
  fails: (nth: number) => unknown = () => undefined,
) {
  const sent: unknown[] = [];
  let amount = 0;
  const work = (): Promise<unknown> => {
    amount += 100;
    const args = { amount };
    return effect({ name: "pay", ...(declaration as object), args }, async () => {
      sent.push(args.amount);
      const failure = fails(sent.length - 1);
      if (failure !== undefined) throw failure;
      return args.amount;
    });
  };
  return { sent, work };
}
const digests = /with arguments [0-9a-f]{64}, and is wanted with [0-9a-f]{64} now/;

describe("a repeated step that wants the same call with other arguments", () => {
  it("gets the new ones when the call was only prepared", async () => {
    const { sent, work } = drifting({});
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.prepared");
    expect(logOf(await bench.run())).toEqual(["200"]);
    expect(sent).toEqual([200]);
    expect(await ledgerRows(bench.runtime)).toMatchObject([{ state: "succeeded", args: '{"amount":200}' }]);
  });

  it("gets the new ones when the call is known to have failed", async () => {
    const { sent, work } = drifting({}, (nth) =>
      nth === 0 ? Object.assign(new Error("slow down"), { status: 429 }) : undefined,
    );
    const bench = await benchWith(graphOf(work));
    expect(logOf(await bench.run())).toEqual(["200"]);
    expect(sent).toEqual([100, 200]);
  });

  it("is refused when the call took place, with both digests", async () => {
    const { sent, work } = drifting({});
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.succeeded");
    expect(await bench.run()).toMatchObject({
      status: "error",
      error: { code: "effect_args_changed", message: expect.stringMatching(digests) },
    });
    expect(sent).toEqual([100]);
  });

  it("is refused, not sent with the old key, when the key is honoured but nobody knows: a human is asked first", async () => {
    const { sent, work } = drifting({ class: "idempotent" });
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.performed");
    const run = await bench.run();
    expect(sent).toEqual([100]);
    const [question] = await openQuestions(bench.runtime, run.thread_id);
    expect(String(question?.payload)).toContain('"arguments":{"amount":100}');
    const answered = await bench.answer(run.thread_id, { type: "accept", args: null });
    expect(answered).toMatchObject({ status: "error", error: { code: "effect_args_changed" } });
    expect(sent).toEqual([100]);
  });

  it("is sent with the new ones when a human says that the old call did not take place", async () => {
    const { sent, work } = drifting({});
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.performed");
    const { thread_id: threadId } = await bench.run();
    expect(logOf(await bench.answer(threadId, { type: "ignore", args: null }))).toEqual([
      String(sent.at(-1)),
    ]);
    expect(sent).toHaveLength(2);
    expect(sent[1]).not.toBe(100);
  });

  it("looks the old call up with the old arguments, and is refused when it is found", async () => {
    const looked: unknown[] = [];
    const lookup = async (_: string, args: never) => {
      looked.push(args);
      return { found: true } as const;
    };
    const { sent, work } = drifting({ class: "queryable", lookup });
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.performed");
    expect(await bench.run()).toMatchObject({ status: "error", error: { code: "effect_args_changed" } });
    expect(looked).toEqual([{ amount: 100 }]);
    expect(sent).toEqual([100]);
    expect(await statesOf(bench.runtime)).toEqual(["pay reconciled_done"]);
  });

  it("looks the old call up, and sends the new one when it is found at neither time", async () => {
    const { sent, work } = drifting({ class: "queryable", lookup: async () => ({ found: false }) });
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.performed");
    expect(await bench.run()).toMatchObject({ status: "success" });
    expect(sent).toHaveLength(2);
    expect(await ledgerRows(bench.runtime)).toMatchObject([
      { state: "succeeded", args: `{"amount":${sent[1]}}`, dispatches: 2 },
    ]);
  });

  it("reads again, whatever the first reading gave", async () => {
    const { sent, work } = drifting({ class: "read" });
    const bench = await benchWith(graphOf(work));
    failOnceAt("effect.succeeded");
    expect(logOf(await bench.run())).toEqual(["200"]);
    expect(sent).toEqual([100, 200]);
  });
});

describe("a repeated step that makes another call than the unclear one", () => {
  const called: string[] = [];
  const call = (name: string, declaration: Partial<EffectDeclaration> = {}): Promise<unknown> =>
    effect({ name, ...(declaration as object), args: {} }, async () => {
      called.push(name);
      return name;
    });

  it("is refused with effect_drifted, which names the old one, and sends nothing", async () => {
    called.length = 0;
    let executions = 0;
    const bench = await benchWith(graphOf(() => call(executions++ === 0 ? "pay" : "refund")));
    failOnceAt("effect.performed");
    const run = await bench.run();
    const [old] = await ledgerRows(bench.runtime);
    expect(run).toMatchObject({ status: "error", error: { code: "effect_drifted" } });
    expect(run.error?.message).toContain(`pay (effect ${old?.effect_id})`);
    expect(called).toEqual(["pay"]);
    expect(await statesOf(bench.runtime)).toEqual(["pay dispatched"]);
  });

  it("waits for the old one when it is called beside it, then goes on", async () => {
    called.length = 0;
    let executions = 0;
    const bench = await benchWith(
      graphOf(async () => {
        if (executions++ === 0) return call("pay", { class: "idempotent" });
        // The new one comes first.
        return Promise.all([call("log", { class: "idempotent" }), call("pay", { class: "idempotent" })]);
      }),
    );
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(['["log","pay"]']);
    expect(called).toEqual(["pay", "pay", "log"]);
  });

  it("does not go on when the old one, called beside it, waits for a human", async () => {
    called.length = 0;
    let executions = 0;
    const bench = await benchWith(
      graphOf(async () => {
        if (executions++ === 0) return call("pay");
        return Promise.all([call("log"), call("pay")]);
      }),
    );
    failOnceAt("effect.performed");
    const run = await bench.run();
    expect(run).toMatchObject({ status: "success" });
    expect(called).toEqual(["pay"]);
    expect(await openQuestions(bench.runtime, run.thread_id)).toHaveLength(1);
    const answered = await bench.answer(run.thread_id, { type: "accept", args: null });
    expect(logOf(answered)).toEqual(['["log",null]']);
    expect(called).toEqual(["pay", "log"]);
  });

  it("may read all the same", async () => {
    called.length = 0;
    let executions = 0;
    const bench = await benchWith(
      graphOf(async () => {
        if (executions++ > 0) return call("look", { class: "read" });
        await call("pay");
        throw new Transient("never reached");
      }),
    );
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(['"look"']);
    expect(called).toEqual(["pay", "look"]);
  });
});
