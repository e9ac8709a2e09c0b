import { tool } from "@langchain/core/tools";
import { interrupt } from "@langchain/langgraph";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { Transient } from "../../src/domain/errors.ts";
import { declareTool, idempotencyKey } from "../../src/index.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { agentNames, agentOf, cutOnceAt, till } from "../support/tool-agents.ts";
import { answered, answersOf, ledgerOf, openQuestions, worked } from "../support/tool-runs.ts";

afterEach(() => setFailpoints(undefined));

type Kind = "idempotent" | "at_most_once";
const asked = (name: string, cents: number) => ({ name, args: { cents } });

/** Asks before it pays. The world honours keys: one payment for each. */
function approvedTill(kind: Kind = "idempotent") {
  const paid = new Map<string, number>();
  let sends = 0;
  const made = tool(
    async ({ cents }) => {
      if (interrupt(`pay ${cents}?`) !== "yes") return `refused ${cents}`;
      sends += 1;
      paid.set(idempotencyKey(), cents);
      return `paid ${cents}`;
    },
    { name: "pay_approved", description: "pays when allowed", schema: z.object({ cents: z.int() }) },
  );
  return { paid, sends: () => sends, tool: declareTool(made, { class: kind }) };
}

/** Fails once, where the world says that it is busy. */
function busyOnce() {
  let calls = 0;
  const made = tool(
    async () => {
      calls += 1;
      if (calls === 1) throw new Transient("busy", { retryAfterMs: 0 });
      return "seen";
    },
    { name: "look", description: "looks", schema: z.object({}) },
  );
  return declareTool(made, { class: "read" });
}

describe.each(agentNames)("a tool of %s that asks a human", (name) => {
  it("repeats no call beside it, and gives each answer to the call that asked", async () => {
    const asks = approvedTill();
    const { keys, pay } = till("at_most_once");
    const calls = [asked("pay_approved", 1), asked("pay", 2), asked("pay_approved", 3)];
    const parked = await worked(agentOf(name, [asks.tool, pay], [calls]));
    expect((await openQuestions(parked.runtime)).map(({ payload }) => payload)).toEqual([
      '"pay 1?"',
      '"pay 3?"',
    ]);
    const half = await answered(parked, "pay 3?", "yes");
    expect([...asks.paid.values()]).toEqual([3]);
    const { run, runtime } = await answered(half, "pay 1?", "no");
    expect(run).toMatchObject({ status: "success", error: null });
    expect(answersOf(run)).toEqual(["refused 1", "paid 2", "paid 3"]);
    expect([...asks.paid.values()]).toEqual([3]);
    expect([keys.length, asks.sends()]).toEqual([1, 1]);
    expect(await ledgerOf(runtime)).toEqual([
      "pay succeeded",
      "pay_approved succeeded",
      "pay_approved succeeded",
    ]);
    expect(await openQuestions(runtime)).toEqual([]);
  });

  it.each(["effect.prepared", "effect.dispatched", "effect.performed", "effect.succeeded"])(
    "pays what was approved once and never what was rejected, beside a retry and a cut at %s",
    async (boundary) => {
      const asks = approvedTill();
      const { keys, pay } = till();
      const calls = [asked("pay_approved", 1), asked("pay", 2), { name: "look" }, asked("pay_approved", 3)];
      let step = await worked(agentOf(name, [asks.tool, pay, busyOnce()], [calls]));
      for (const [question, decision] of [
        ["pay 1?", "no"],
        ["pay 3?", "yes"],
      ] as const) {
        cutOnceAt(boundary);
        step = await answered(step, question, decision);
      }
      expect(step.run).toMatchObject({ status: "success", error: null });
      expect(answersOf(step.run)).toEqual(["refused 1", "paid 2", "seen", "paid 3"]);
      expect([...asks.paid.values()]).toEqual([3]);
      expect(new Set(keys).size).toBe(1);
    },
  );
});

describe("an unclear call that had asked a human before", () => {
  it("is asked about, and sent again with the first answer when it did not take place", async () => {
    const asks = approvedTill("at_most_once");
    const parked = await worked(
      agentOf("createAgent of langchain", [asks.tool], [[asked("pay_approved", 1)]]),
    );
    cutOnceAt("effect.performed");
    const unclear = await answered(parked, "pay 1?", "yes");
    expect(asks.sends()).toBe(1);
    const { run, runtime } = await answered(unclear, "Did pay_approved take place?", [
      { type: "ignore", args: null },
    ]);
    expect(run).toMatchObject({ status: "success", error: null });
    expect(await openQuestions(runtime)).toEqual([]);
    expect(answersOf(run)).toEqual(["paid 1"]);
    expect(asks.sends()).toBe(2);
  });

  it("is not sent again when it took place, and the human's result is what the model sees", async () => {
    const asks = approvedTill("at_most_once");
    const parked = await worked(
      agentOf("createReactAgent v1", [asks.tool], [[asked("pay_approved", 1), asked("pay_approved", 2)]]),
    );
    const half = await answered(parked, "pay 2?", "no");
    cutOnceAt("effect.performed");
    const unclear = await answered(half, "pay 1?", "yes");
    const { run } = await answered(unclear, "Did pay_approved take place?", [
      { type: "response", args: "receipt 7" },
    ]);
    expect(answersOf(run)).toEqual(["receipt 7", "refused 2"]);
    expect(asks.sends()).toBe(1);
  });
});
