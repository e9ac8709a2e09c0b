import { END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, attemptsOf, LogState, rowsOf, runtimeWith } from "../support/scenario.ts";
import { eventsOf, untilEnded } from "../support/watch.ts";

const one = (x: () => object) =>
  new StateGraph(LogState).addNode("x", x).addEdge(START, "x").addEdge("x", END).compile();

/** Runs to the end; retries come due at once, because the clock runs ahead. */
async function ended(runtime: TestRuntime): Promise<RunRow> {
  runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
  runtime.work({ pollMillis: 20 });
  const run = await accepted(runtime);
  const forward = setInterval(() => runtime.clock.advance(1_000), 20);
  return untilEnded(runtime, run.run_id).finally(() => clearInterval(forward));
}

describe("an error that a node throws", () => {
  it("and that is named Cancelled ends the run as dead, after one attempt", async () => {
    let executions = 0;
    const graph = one(() => {
      executions++;
      throw Object.assign(new Error("the user pressed cancel"), { name: "Cancelled" });
    });
    const runtime = await runtimeWith(graph);
    const run = await ended(runtime);
    expect(run).toMatchObject({ status: "error", attempt: 1, error: { message: "the user pressed cancel" } });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["dead"]);
    expect(executions).toBe(1);
  });

  it.each(["57014", "53300"])(
    "and that is of its own Postgres (%s) is charged, and ends the run exhausted",
    async (code) => {
      let executions = 0;
      const graph = one(() => {
        executions++;
        throw Object.assign(new Error("from another database"), { code, severity: "ERROR" });
      });
      const runtime = await runtimeWith(graph);
      const run = await ended(runtime);
      expect(run).toMatchObject({
        attempt: 5,
        error: { code: "exhausted", message: "from another database" },
      });
      expect(await attemptsOf(runtime, run.run_id)).toEqual(["retry", "retry", "retry", "retry", "dead"]);
      expect(executions).toBe(5);
    },
  );

  const long = "x".repeat(3_999);
  it.each([
    { what: "a NUL", text: "bad \u0000 byte", stored: "bad \ufffd byte" },
    { what: "half a surrogate pair", text: "half \ud83d of it", stored: "half \ufffd of it" },
    { what: "a pair where the message is cut", text: `${long}\u{1F600}`, stored: `${long}\ufffd` },
  ])("and whose message has $what is stored, and settles the run", async ({ text, stored }) => {
    const graph = one(() => {
      throw new Error(text, { cause: new Error(text) });
    });
    const runtime = await runtimeWith(graph);
    const run = await ended(runtime);
    expect(run).toMatchObject({ status: "error", attempt: 1, error: { message: stored } });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["dead"]);
    expect((await eventsOf(runtime.db, run.run_id)).at(-1)).toMatchObject({ event: "error" });
  });
});

describe("a question", () => {
  it.each([
    { what: "a NUL", text: "it said \u0000", stored: "it said \ufffd" },
    { what: "half a surrogate pair", text: "it said \ud83d", stored: "it said \ufffd" },
  ])("with $what in a reason is stored, and settles the run", async ({ text, stored }) => {
    const graph = one(() => {
      const answer = interrupt({
        action_request: { action: "pay", args: {} },
        config: {},
        holdfast: { reasons: [{ code: text, message: text }], assignee: text },
      });
      return { log: [String(answer)] };
    });
    const runtime = await runtimeWith(graph);
    expect(await ended(runtime)).toMatchObject({ status: "success", attempt: 1 });
    expect(await rowsOf(runtime, "select status, reasons, assignee from holdfast.escalations")).toEqual([
      { status: "open", reasons: [{ code: stored, message: stored }], assignee: stored },
    ]);
  });
});
