import { afterEach, describe, expect, it } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, rowsOf, runtimeWith } from "../support/scenario.ts";
import { agentNames, agentOf, cutOnceAt, till } from "../support/tool-agents.ts";
import { untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

export async function worked(graph: unknown): Promise<{ runtime: TestRuntime; run: RunRow }> {
  const runtime = await runtimeWith(graph);
  runtime.work({ pollMillis: 20 });
  const kwargs = { input: { messages: [{ role: "user", content: "go" }] }, stream_mode: ["values"] as const };
  const { run_id } = await accepted(runtime, { kwargs: kwargs as never });
  return { runtime, run: await untilEnded(runtime, run_id) };
}
const answersOf = (run: RunRow): unknown[] =>
  JSON.parse(run.output ?? "{}")
    .messages.filter(({ type }: { type: string }) => type === "tool")
    .map(({ content }: { content: unknown }) => content);
const ledgerOf = async (runtime: TestRuntime): Promise<unknown[]> =>
  (await rowsOf(runtime, "select tool, state from holdfast.effects order by prepared_at, tool, args")).map(
    ({ tool, state }) => `${tool} ${state}`,
  );
const pay = (cents: number) => ({ name: "pay", args: { cents } });

describe.each(agentNames)("the tools of %s", (name) => {
  it("are called once for each call, also where the model repeats an id in a message and in the next", async () => {
    const { keys, pay: tool } = till();
    const graph = agentOf(
      name,
      [tool],
      [
        [pay(1), pay(2)],
        [pay(3), pay(4)],
      ],
    );
    const { runtime, run } = await worked(graph);
    expect(run).toMatchObject({ status: "success", error: null });
    expect(answersOf(run)).toEqual(["paid 1", "paid 2", "paid 3", "paid 4"]);
    expect(new Set(keys).size).toBe(4);
    expect(await ledgerOf(runtime)).toEqual(Array.from({ length: 4 }, () => "pay succeeded"));
  });

  it.each(["effect.prepared", "effect.dispatched", "effect.performed", "effect.succeeded"])(
    "pay once when an attempt is cut at %s",
    async (boundary) => {
      const { keys, pay: tool } = till();
      cutOnceAt(boundary);
      const { run } = await worked(agentOf(name, [tool], [[pay(1), pay(2)], [pay(3)]]));
      expect(run).toMatchObject({ status: "success", error: null });
      expect(answersOf(run)).toEqual(["paid 1", "paid 2", "paid 3"]);
      expect(new Set(keys).size).toBe(3);
      expect(keys).toHaveLength(boundary === "effect.performed" ? 4 : 3);
    },
  );
});
