import { describe, expect, it } from "vitest";
import { newId } from "../../src/domain/ids.ts";
import { effect } from "../../src/effects/effect.ts";
import { deleteThread } from "../../src/queue/cancel.ts";
import { createRun } from "../../src/queue/create.ts";
import { businessKeySecondsMax, pruneOnce } from "../../src/queue/scheduler.ts";
import {
  type Bench,
  benchWith,
  failOnceAt,
  graphOf,
  ledgerRows,
  openQuestions,
  statesOf,
} from "../support/effects.ts";
import { runRequest } from "../support/factory.ts";
import { accepted, logOf, rowsOf, signal, untilRow } from "../support/scenario.ts";
import { until, untilEnded } from "../support/watch.ts";

interface Invoice {
  invoice: string;
  amount: number;
}
function till({
  fails = (_: number): unknown => undefined,
  before = async (): Promise<void> => undefined,
} = {}) {
  const sent: { key: string; amount: number }[] = [];
  const pay = (args: Invoice, kind: "idempotent" | "at_most_once" = "at_most_once"): Promise<string> =>
    effect({ name: "pay", class: kind, keyOf: ({ invoice }) => invoice, args }, async (key) => {
      sent.push({ key, amount: args.amount });
      const nth = sent.length - 1;
      await before();
      const failure = fails(nth);
      if (failure !== undefined) throw failure;
      return `paid ${nth + 1}`;
    });
  return { sent, pay };
}
const invoice = (amount = 1): Invoice => ({ invoice: "R-17", amount });
const paid = ['"paid 1"'];

const untilState = ({ runtime }: Bench, state: string): Promise<true> =>
  until(
    runtime.bus,
    async () => ((await statesOf(runtime)).includes(state) ? true : undefined),
    `the effect to be in ${state}`,
  );

describe("a business key", () => {
  it("protects across threads: the stored result is returned, with one key in the world", async () => {
    const { sent, pay } = till();
    const bench = await benchWith(graphOf(() => pay(invoice())));
    expect(logOf(await bench.run())).toEqual(paid);
    expect(logOf(await bench.run())).toEqual(paid);
    expect(sent).toHaveLength(1);
    expect(await ledgerRows(bench.runtime)).toMatchObject([{ business_key: "R-17", state: "succeeded" }]);
  });

  it("protects two equal calls of one node", async () => {
    const { sent, pay } = till();
    const bench = await benchWith(graphOf(() => Promise.all([pay(invoice()), pay(invoice())])));
    expect(logOf(await bench.run())).toEqual(['["paid 1","paid 1"]']);
    expect(sent).toHaveLength(1);
  });

  it("refuses other arguments for what took place, and names both", async () => {
    const { sent, pay } = till();
    let amount = 0;
    const bench = await benchWith(graphOf(() => pay(invoice(++amount))));
    const first = await bench.run();
    const second = await bench.run();
    expect(second).toMatchObject({ status: "error", error: { code: "effect_business_key_conflict" } });
    expect(second.error?.message).toContain(first.run_id);
    expect(second.error?.message).toMatch(/[0-9a-f]{64}, and is wanted with [0-9a-f]{64}/);
    expect(sent).toHaveLength(1);
  });

  it("lets a second thread wait, uncharged, until the first is done", async () => {
    const underWay = signal();
    const goOn = signal();
    const { sent, pay } = till({
      before: async () => {
        underWay.give();
        await goOn.given;
      },
    });
    const bench = await benchWith(graphOf(() => pay(invoice())));
    const first = await accepted(bench.runtime);
    await underWay.given;
    const second = await accepted(bench.runtime);
    const waiting = await untilRow(bench.runtime, second.run_id, (run) => run.error !== null);
    expect(waiting).toMatchObject({ status: "queued", failures: 0, error: { code: "effect_unsettled" } });
    goOn.give();
    await untilEnded(bench.runtime, first.run_id);
    bench.runtime.clock.advance(5_000);
    expect(await untilEnded(bench.runtime, second.run_id)).toMatchObject({ status: "success", failures: 0 });
    expect(sent).toHaveLength(1);
  });

  it("of a call that is being undone gives no result: who wants it waits, then makes it anew", async () => {
    const undoing = signal();
    const goOn = signal();
    const deeds: string[] = [];
    let runs = 0;
    const bench = await benchWith(
      graphOf(async () => {
        const booked = await effect(
          {
            name: "book",
            class: "compensatable",
            keyOf: () => "trip 7",
            args: {},
            compensate: async () => {
              deeds.push("cancel");
              undoing.give();
              await goOn.given;
            },
          },
          async () => deeds.push("book"),
        );
        runs += 1;
        if (runs === 1) throw new Error("no such city");
        return booked;
      }),
    );
    expect(await bench.run()).toMatchObject({ status: "error" });
    await undoing.given;
    const second = await accepted(bench.runtime);
    const waiting = await untilRow(bench.runtime, second.run_id, (run) => run.error !== null);
    expect(waiting).toMatchObject({ status: "queued", failures: 0, error: { code: "effect_unsettled" } });
    goOn.give();
    await untilState(bench, "book compensated");
    bench.runtime.clock.advance(5_000);
    expect(await untilEnded(bench.runtime, second.run_id)).toMatchObject({ status: "success" });
    expect(deeds).toEqual(["book", "cancel", "book"]);
  });

  it("is taken over from a run that ended before it sent anything", async () => {
    const { sent, pay } = till({
      fails: (nth) => (nth === 0 ? Object.assign(new Error("no"), { status: 422 }) : undefined),
    });
    let amount = 0;
    const bench = await benchWith(graphOf(() => pay(invoice(++amount))));
    expect(await bench.run()).toMatchObject({ status: "error" });
    const second = await bench.run();
    expect(logOf(second)).toEqual(['"paid 2"']);
    expect(await ledgerRows(bench.runtime)).toMatchObject([
      {
        state: "succeeded",
        run_id: second.run_id,
        thread_id: second.thread_id,
        args: '{"amount":2,"invoice":"R-17"}',
      },
    ]);
    expect(new Set(sent.map(({ key }) => key)).size).toBe(1);
  });

  it("of an unclear call, whose run has ended, is cleared up by its class in the thread that wants it", async () => {
    const { sent, pay } = till({ fails: (nth) => (nth === 0 ? new Error("lost") : undefined) });
    const bench = await benchWith(graphOf(() => pay(invoice(), "idempotent")));
    expect(await bench.run()).toMatchObject({ status: "error" });
    expect(await statesOf(bench.runtime)).toEqual(["pay unknown"]);
    expect(logOf(await bench.run())).toEqual(['"paid 2"']);
    expect(new Set(sent.map(({ key }) => key)).size).toBe(1);
  });

  it("of a call that a human is asked about elsewhere ends the run, and names the question", async () => {
    const { sent, pay } = till({ fails: (nth) => (nth === 0 ? new Error("lost") : undefined) });
    const bench = await benchWith(graphOf(() => pay(invoice())));
    const first = await bench.run();
    const [question] = await openQuestions(bench.runtime, first.thread_id);
    const second = await bench.run();
    expect(second).toMatchObject({ status: "error", error: { code: "effect_unknown" } });
    expect(second.error?.message).toContain(String(question?.escalation_id));
    await bench.answer(first.thread_id, { type: "response", args: "found" });
    expect(logOf(await bench.run())).toEqual(['"found"']);
    expect(sent).toHaveLength(1);
  });

  it("is asked about in the new thread when the one that asked was deleted", async () => {
    const { sent, pay } = till({ fails: (nth) => (nth === 0 ? new Error("lost") : undefined) });
    const bench = await benchWith(graphOf(() => pay(invoice())));
    const first = await bench.run();
    await deleteThread(bench.runtime, { threadId: first.thread_id, tenant: "default" });
    expect(await ledgerRows(bench.runtime)).toMatchObject([{ thread_id: null, state: "escalated" }]);
    const second = await bench.run();
    expect(await openQuestions(bench.runtime, second.thread_id)).toHaveLength(1);
    expect(logOf(await bench.answer(second.thread_id, { type: "ignore", args: null }))).toEqual(['"paid 2"']);
    expect(sent).toHaveLength(2);
  });

  it("outlives its thread, which takes effects without one along, and is forgotten after 400 days", async () => {
    const { sent, pay } = till();
    const bench = await benchWith(
      graphOf(async () => [
        await pay(invoice()),
        await effect({ name: "note", args: 1 }, async () => "noted"),
      ]),
    );
    const first = await bench.run();
    await deleteThread(bench.runtime, { threadId: first.thread_id, tenant: "default" });
    expect(await ledgerRows(bench.runtime)).toMatchObject([{ tool: "pay", thread_id: null }]);
    await bench.run();
    expect(sent).toHaveLength(1);
    bench.runtime.clock.advance((businessKeySecondsMax - 3_600) * 1_000);
    expect(await pruneOnce(bench.runtime)).toMatchObject({ effects: 0 });
    bench.runtime.clock.advance(2 * 3_600 * 1_000);
    expect(await pruneOnce(bench.runtime)).toMatchObject({ effects: 1 });
  });

  it("stays when the thread of a stateless run is pruned", async () => {
    const { sent, pay } = till();
    const bench = await benchWith(graphOf(() => pay(invoice())));
    await bench.run({ temporary: true });
    bench.runtime.clock.advance(3_600_000);
    expect(await pruneOnce(bench.runtime)).toMatchObject({ threads: 1, effects: 0 });
    expect(logOf(await bench.run())).toEqual(paid);
    expect(sent).toHaveLength(1);
  });

  it("is sent once however a crash cuts the run that two threads want it in", async () => {
    for (const boundary of ["effect.prepared", "effect.performed", "effect.succeeded"]) {
      const { sent, pay } = till();
      const bench: Bench = await benchWith(
        graphOf(() => pay({ invoice: boundary, amount: 1 }, "idempotent")),
      );
      failOnceAt(boundary);
      const threads = [newId(), newId()];
      const runs = await Promise.all(
        threads.map((threadId) => createRun(bench.runtime.db, runRequest({ graphId: "any", threadId }))),
      );
      await bench.run();
      const forward = setInterval(() => bench.runtime.clock.advance(1_000), 20);
      const ends = await Promise.all(runs.map(({ run }) => untilEnded(bench.runtime, run.run_id)));
      clearInterval(forward);
      expect(
        ends.map(({ status }) => status),
        boundary,
      ).toEqual(["success", "success"]);
      expect(new Set(ends.map((run) => JSON.stringify(logOf(run)))).size, boundary).toBe(1);
      expect(new Set(sent.map(({ key }) => key)).size, boundary).toBe(1);
      expect(sent.length, boundary).toBe(boundary === "effect.performed" ? 2 : 1);
      expect(await rowsOf(bench.runtime, "select 1 from holdfast.effects")).toHaveLength(1);
    }
  });

  it("must be a text", async () => {
    const bench = await benchWith(
      graphOf(() => effect({ name: "pay", keyOf: () => "", args: 1 }, async () => "never")),
    );
    expect(await bench.run()).toMatchObject({ status: "error", error: { code: "invalid_business_key" } });
  });
});
