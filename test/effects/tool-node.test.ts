import { afterEach, describe, expect, it } from "vitest";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { agentNames, agentOf, cutOnceAt, till } from "../support/tool-agents.ts";
import { answersOf, ledgerOf, toolMessagesOf, worked } from "../support/tool-runs.ts";

afterEach(() => setFailpoints(undefined));

const pay = (cents: number) => ({ name: "pay", args: { cents } });

describe.each(agentNames)("the tools of %s", (name) => {
  it("are called once for each call, also where the model repeats an id in a message and in the next", async () => {
    const { keys, pay: tool } = till();
    const turns = [
      [pay(1), pay(2)],
      [pay(3), pay(4)],
    ];
    const { runtime, run } = await worked(agentOf(name, [tool], turns));
    expect(run).toMatchObject({ status: "success", error: null });
    expect(answersOf(run)).toEqual(["paid 1", "paid 2", "paid 3", "paid 4"]);
    expect(new Set(keys).size).toBe(4);
    expect(await ledgerOf(runtime)).toEqual(Array.from({ length: 4 }, () => "pay succeeded"));
    expect(new Set(toolMessagesOf(run).map(({ id }) => id)).size).toBe(4);
  });

  it.each([
    ["effect.prepared", 3],
    ["effect.dispatched", 3],
    ["effect.performed", 4],
    ["effect.succeeded", 3],
  ])("pay with one key for each call when an attempt is cut at %s", async (boundary, sends) => {
    const { keys, pay: tool } = till();
    cutOnceAt(boundary);
    const { run } = await worked(agentOf(name, [tool], [[pay(1), pay(2)], [pay(3)]]));
    expect(run).toMatchObject({ status: "success", error: null });
    expect(answersOf(run)).toEqual(["paid 1", "paid 2", "paid 3"]);
    expect(new Set(keys).size).toBe(3);
    expect(keys).toHaveLength(sends);
  });
});
