import { END, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { effectsOfThread } from "../../src/db/queries/effect-reads.ts";
import { effect } from "../../src/effects/effect.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import {
  accepted,
  attemptsOf,
  LogState,
  logOf,
  rowsOf,
  runtimeWith,
  signal,
  untilRow,
} from "../support/scenario.ts";
import { until, untilEnded } from "../support/watch.ts";

const one = (x: () => Promise<object>) =>
  new StateGraph(LogState).addNode("x", x).addEdge(START, "x").addEdge("x", END).compile();
const short = { stepSecondsMax: 1.5, runSecondsMax: 1_000_000_000 };

describe("a node that never returns and hears no signal", () => {
  it("is left to itself: the attempt is charged, the slot is free, and what it does late is refused", async () => {
    const begun = signal();
    const goOn = signal();
    const late = signal();
    const calls: string[] = [];
    let lateError: unknown;
    let executions = 0;
    const graph = one(async () => {
      const mine = ++executions;
      if (mine === 1) {
        begun.give();
        await goOn.given;
      }
      try {
        await effect({ name: "pay", class: "idempotent", args: 1 }, async () => calls.push(`by ${mine}`));
      } catch (error) {
        lateError = error;
      }
      if (mine === 1) late.give();
      return { log: [`x${mine}`] };
    });
    const runtime = await runtimeWith(graph);
    const { worker } = runtime.work({ slotsMax: 1, limits: short });
    const run = await accepted(runtime);
    await begun.given;
    const waiting = await untilRow(runtime, run.run_id, ({ status }) => status === "queued");
    expect(waiting).toMatchObject({ failures: 1, error: { code: "timeout" } });
    expect(waiting.error?.message).toContain("nothing was committed for 1.5 s");
    await until(runtime.bus, async () => (worker.activeRuns === 0 ? true : undefined), "the slot to be free");
    const ended = await untilEnded(runtime, run.run_id);
    goOn.give();
    await late.given;
    expect(ended.status).toBe("success");
    expect(logOf(ended)).toEqual(["x2"]);
    expect(lateError, "the late effect is refused").toBeDefined();
    expect(calls).toEqual(["by 2"]);
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["retry", "success"]);
    const { thread_id: threadId } = run;
    expect(await effectsOfThread(runtime.db, { threadId, tenant: "default" })).toHaveLength(1);
    const rows = await rowsOf(
      runtime,
      `select "values" from holdfast.threads where thread_id = $1`,
      threadId,
    );
    expect(JSON.parse(String(rows[0]?.values)).log, "the late step changes nothing").toEqual(["x2"]);
  });

  it("ends the run as timeout at the last attempt", async () => {
    const runtime = await runtimeWith(one(() => new Promise(() => undefined)));
    runtime.work({ limits: short });
    const run = await accepted(runtime, { attemptsMax: 1 });
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({
      status: "timeout",
      error: { code: "exhausted" },
    });
  });

  it("keeps no cancelled run waiting, not even in the middle of an effect", async () => {
    const begun = signal();
    const graph = one(async () => {
      await effect({ name: "pay", class: "idempotent", args: 1 }, () => {
        begun.give();
        return new Promise(() => undefined);
      });
      return {};
    });
    const runtime = await runtimeWith(graph);
    runtime.work();
    const { run_id: runId, thread_id: threadId } = await accepted(runtime);
    await begun.given;
    const asked = performance.now();
    await cancelRun(runtime, { tenant: "default", threadId, runId, action: "interrupt" });
    expect(await untilEnded(runtime, runId)).toMatchObject({ status: "interrupted" });
    expect(performance.now() - asked, "milliseconds from the cancel").toBeLessThan(9_500);
  });
});

describe("a run that goes on", () => {
  it("for longer than a step may take is left alone while it commits steps", async () => {
    const steps = 15;
    const graph = new StateGraph(LogState)
      .addNode("x", async () => {
        await new Promise((resolve) => setTimeout(resolve, 150));
        return { log: ["x"] };
      })
      .addEdge(START, "x")
      .addConditionalEdges("x", ({ log }) => (log.length < steps ? "x" : END))
      .compile();
    const runtime = await runtimeWith(graph);
    runtime.work({ limits: short });
    const run = await accepted(runtime);
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ status: "success", failures: 0 });
  });

  it("for longer than a run may take ends as timeout, with its waits between attempts counted", async () => {
    const runtime = await runtimeWith(one(async () => ({ log: ["x"] })));
    const run = await accepted(runtime);
    await runtime.db.query({
      text: "update holdfast.runs set started_at = holdfast.now() - interval '1 hour' where run_id = $1 and status = 'queued'",
      values: [run.run_id],
    });
    runtime.work({ limits: { stepSecondsMax: 900, runSecondsMax: 3_000 } });
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({
      status: "timeout",
      error: { code: "run_timeout" },
    });
  });
});
