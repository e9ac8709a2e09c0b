import { setImmediate as nextTurn } from "node:timers/promises";
import { END, START, StateGraph } from "@langchain/langgraph";
import { afterEach, describe, expect, it } from "vitest";
import { Transient } from "../../src/domain/errors.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { expireLeases, makeRun, runById } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
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
import { settle } from "../support/settle.ts";
import { until, untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

/** One node that does what is told, and one behind it. */
const two = (x: () => Promise<void>) =>
  new StateGraph(LogState)
    .addNode("x", async () => {
      await x();
      return { log: ["x"] };
    })
    .addNode("y", () => ({ log: ["y"] }))
    .addEdge(START, "x")
    .addEdge("x", "y")
    .addEdge("y", END)
    .compile();

/** Waits until the lease has been renewed so many times. */
async function untilRenewed(runtime: TestRuntime, runId: string, times: number): Promise<void> {
  let { lease_until: before } = await runById(runtime.db, runId);
  for (let n = 0; n < times; n++) {
    const last = Number(before);
    ({ lease_until: before } = await untilRow(runtime, runId, (run) => Number(run.lease_until) > last));
  }
}

/** Waits until a worker has given up an attempt whose lease is gone. */
function untilLost({ bus, metrics }: TestRuntime): Promise<true> {
  const look = async () => ((await metrics.leaseLost.get()).values[0]?.value === 1 ? true : undefined);
  return until(bus, look, "an attempt to be given up");
}

describe("a worker that gets its own run again", () => {
  it("after its lease expired gives the earlier attempt up, and finishes the run once", async () => {
    const begun = [signal(), signal()];
    const goOn = [signal(), signal()];
    let executions = 0;
    const graph = two(async () => {
      const mine = executions++;
      begun[mine]?.give();
      await goOn[mine]?.given;
    });
    const runtime = await runtimeWith(graph);
    runtime.work({ leaseSeconds: 2, reapMillis: 60_000 });
    const run = await accepted(runtime);
    await begun[0]?.given;
    // Once more when a renewal came in between.
    for (let taken = 0; taken === 0; ) {
      await expireLeases(runtime.db);
      taken = (await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true })).requeued;
    }
    await begun[1]?.given;
    // Given up although its node still waits, and the end of that node does not touch the new lease.
    await untilLost(runtime);
    goOn[0]?.give();
    await untilRenewed(runtime, run.run_id, 4);
    goOn[1]?.give();
    const ended = await untilEnded(runtime, run.run_id);
    expect(ended).toMatchObject({ status: "success", error: null, crashes: 1 });
    expect(logOf(ended)).toEqual(["x", "y"]);
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["crashed", "success"]);
    expect(executions).toBe(2);
  });

  it("keeps the new lease when the end of the earlier attempt comes late", async () => {
    const begun = signal();
    const late = signal();
    const goOn = signal();
    let executions = 0;
    const graph = two(async () => {
      if (++executions === 1) throw new Transient("once", { retryAfterMs: 0 });
      begun.give();
      await goOn.given;
    });
    let settled = 0;
    setFailpoints((name) => (name === "settle.after" && ++settled === 1 ? late.given : undefined));
    const runtime = await runtimeWith(graph);
    runtime.work({ leaseSeconds: 2, reapMillis: 60_000 });
    const run = await accepted(runtime);
    await begun.given;
    late.give();
    await untilRenewed(runtime, run.run_id, 4);
    goOn.give();
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ status: "success", crashes: 0 });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["retry", "success"]);
  });
});

describe("a worker that stops with all its slots full", () => {
  it("drains at the next step boundary and does not work its runs to their ends", async () => {
    const begun = signal();
    const goOn = signal();
    const graph = two(async () => {
      begun.give();
      await goOn.given;
    });
    const runtime = await runtimeWith(graph);
    const { stop } = runtime.work({ slotsMax: 1 });
    const run = await accepted(runtime);
    await begun.given;
    const stopped = stop(20_000);
    await nextTurn();
    goOn.give();
    await stopped;
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ status: "queued", attempt: 0 });
    runtime.work();
    expect(logOf(await untilEnded(runtime, run.run_id))).toEqual(["x", "y"]);
  });

  it("gives its run back uncharged at its deadline, whatever the node waits for", async () => {
    const begun = signal();
    const goOn = signal();
    const graph = two(async () => {
      begun.give();
      await goOn.given;
    });
    const runtime = await runtimeWith(graph);
    const { stop } = runtime.work({ slotsMax: 1 });
    const run = await accepted(runtime);
    await begun.given;
    await stop(100);
    expect(await runById(runtime.db, run.run_id)).toMatchObject({
      status: "queued",
      attempt: 0,
      failures: 0,
      crashes: 0,
      lease_until: null,
    });
    goOn.give();
  });
});

describe("a cancel that was asked for before a retry is settled", () => {
  const retry = {
    kind: "retry",
    delayMs: 3_600_000,
    charged: true,
    error: { code: "rate_limit", name: "Error", message: "too many" },
  } as const;

  it("ends the run at once as interrupted, and does not wait for the retry to come due", async () => {
    const runtime = await runtimeWith();
    const run = await makeRun(runtime.db, "running", { graphId: "steps" });
    const { run_id: runId, thread_id: threadId } = run;
    await cancelRun(runtime, { tenant: "default", threadId, runId, action: "interrupt" });
    await settle(runtime.db, { run, outcome: retry, finalEvents: [] });
    const ended = await runById(runtime.db, runId);
    expect(ended).toMatchObject({ status: "interrupted", lease_until: null });
    expect(ended.finished_at).not.toBeNull();
    expect(await attemptsOf(runtime, runId)).toEqual(["cancelled"]);
    expect(await rowsOf(runtime, "select status from holdfast.threads")).toEqual([{ status: "idle" }]);
  });

  it("removes the run at once when a rollback was asked for", async () => {
    const runtime = await runtimeWith();
    const run = await makeRun(runtime.db, "running", { graphId: "steps" });
    const { run_id: runId, thread_id: threadId } = run;
    await cancelRun(runtime, { tenant: "default", threadId, runId, action: "rollback" });
    await settle(runtime.db, { run, outcome: retry, finalEvents: [] });
    expect(await runById(runtime.db, runId)).toBeUndefined();
  });
});
