import { tool } from "@langchain/core/tools";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { declareTool, idempotencyKey, Transient, toolNode } from "../../src/index.ts";
import { signal } from "../support/scenario.ts";
import { agentNames, agentOf, plainGraph, till } from "../support/tool-agents.ts";
import { answersOf, ledgerOf, worked } from "../support/tool-runs.ts";

const schema = z.object({});
const calls = (n: number) => Array.from({ length: n }, (_, at) => ({ name: "slow", id: `c${at}` }));

/** Ends a call only when so many are under way; tells the most that ever were. */
function meeting(together: number) {
  const all = signal();
  let now = 0;
  let most = 0;
  const slow = tool(
    async () => {
      now += 1;
      most = Math.max(most, now);
      if (now === together) all.give();
      await all.given;
      now -= 1;
      return "met";
    },
    { name: "slow", description: "slow", schema },
  );
  return { slow: declareTool(slow, { class: "read" }), most: () => most };
}

describe("calls of one message", () => {
  it.each(agentNames)("of %s run at once", async (name) => {
    const { slow } = meeting(4);
    const { run } = await worked(agentOf(name, [slow], [calls(4)]));
    expect(answersOf(run)).toEqual(["met", "met", "met", "met"]);
  });

  it("run at most parallelMax at once", async () => {
    const { slow, most } = meeting(2);
    const { run } = await worked(plainGraph([slow], [calls(6)], toolNode([slow], { parallelMax: 2 })));
    expect(answersOf(run)).toHaveLength(6);
    expect(most()).toBe(2);
  });

  it.each(agentNames)(
    "of %s are known as done when one beside them failed while they were under way",
    async (name) => {
      const underWay = signal();
      const goOn = signal();
      let paid = 0;
      const slow = tool(
        async () => {
          paid += 1;
          underWay.give();
          await goOn.given;
          return "paid";
        },
        { name: "slow", description: "pays slowly", schema },
      );
      let tries = 0;
      const flaky = tool(
        async () => {
          tries += 1;
          if (tries > 1) return "fine";
          await underWay.given;
          setTimeout(goOn.give, 200);
          throw new Transient("busy", { retryAfterMs: 0 });
        },
        { name: "flaky", description: "fails once", schema },
      );
      declareTool(flaky, { class: "read" });
      const { run, runtime } = await worked(
        agentOf(name, [slow, flaky], [[{ name: "slow" }, { name: "flaky" }]]),
      );
      expect(run).toMatchObject({ status: "success", attempt: 2 });
      expect(answersOf(run)).toEqual(["paid", "fine"]);
      expect(paid).toBe(1);
      expect(await ledgerOf(runtime)).toEqual(["flaky succeeded", "slow succeeded"]);
    },
  );
});

describe("the key of a call", () => {
  it("is never taken from the arguments, nor from what a caller puts in the config", async () => {
    const keys: string[] = [];
    const pay = tool(
      async (_, config) => {
        keys.push(idempotencyKey(config), idempotencyKey());
        return "paid";
      },
      { name: "pay", description: "pays", schema: z.object({ idempotencyKey: z.string(), key: z.string() }) },
    );
    declareTool(pay, { class: "idempotent" });
    const args = { idempotencyKey: "forged", key: "forged" };
    await worked(
      agentOf(
        "createAgent of langchain",
        [pay],
        [
          [
            { name: "pay", args },
            { name: "pay", args },
          ],
        ],
      ),
    );
    expect(new Set(keys).size).toBe(2);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(() => idempotencyKey({ configurable: { __holdfast_effect_key: { key: "forged" } } })).toThrow(
      "outside",
    );
    expect(till().keys).toEqual([]);
  });
});
