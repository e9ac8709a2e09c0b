import { END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { claimNext } from "../../src/db/queries/claim.ts";
import { Conflict } from "../../src/domain/errors.ts";
import { cancelRun, deleteRun } from "../../src/queue/cancel.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import { asItStands } from "../../src/queue/redrive-plan.ts";
import { expireLeases, runById } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import {
  accepted,
  answering,
  LogState,
  questionsOf,
  rowsOf,
  runtimeWith,
  signal,
  threadStatus,
  workedThread,
} from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

const tenant = "default";
const input = (...log: string[]) => ({ input: { log }, stream_mode: ["values" as const] });
/** Asks; told to `go`, it takes a step and then does what `second` does. */
const graphWith = (second: () => Promise<never>) =>
  new StateGraph(LogState)
    .addNode("ask", () => ({ log: [`answer ${interrupt("?")}`] }))
    .addNode("step", () => ({ log: ["step"] }))
    .addNode("second", second)
    .addConditionalEdges(START, ({ log }) => (log.includes("go") ? "step" : "ask"), ["ask", "step"])
    .addEdge("step", "second")
    .addEdge("ask", END)
    .addEdge("second", END)
    .compile();

/** The same, whose second step says that it has begun and never ends. */
function holding() {
  const begun = signal();
  const graph = graphWith(() => {
    begun.give();
    return new Promise<never>(() => undefined);
  });
  return { graph, begun };
}

describe("a question that a later run has left behind by a step of its own", () => {
  it("is asked no more when that run dies", async () => {
    const runtime = await runtimeWith(graphWith(() => Promise.reject(new TypeError("broken"))));
    const threadId = await workedThread(runtime, { kwargs: input() });
    expect(await questionsOf(runtime)).toMatchObject([{ status: "open" }]);
    runtime.work();
    const dead = await accepted(runtime, { threadId, kwargs: input("go") });
    expect(await untilEnded(runtime, dead.run_id)).toMatchObject({ status: "error" });
    expect(await questionsOf(runtime)).toMatchObject([{ status: "superseded" }]);
    await expect(accepted(runtime, { threadId, kwargs: answering("late") })).rejects.toThrow(
      "the thread waits for no answer",
    );
  });

  it.each(["cancelled", "deleted"])("is asked no more when that run is %s in the middle", async (how) => {
    const { graph, begun } = holding();
    const runtime = await runtimeWith(graph);
    const threadId = await workedThread(runtime, { kwargs: input() });
    runtime.work();
    const { run_id: runId } = await accepted(runtime, { threadId, kwargs: input("go") });
    await begun.given;
    if (how === "deleted") await deleteRun(runtime, { tenant, threadId, runId });
    else {
      await cancelRun(runtime, { tenant, threadId, runId, action: "interrupt" });
      expect(await untilEnded(runtime, runId)).toMatchObject({ status: "interrupted" });
    }
    expect(await questionsOf(runtime)).toMatchObject([{ status: "superseded" }]);
    expect(await threadStatus(runtime)).toBe("idle");
  });

  it("is asked no more when that run is cancelled while it waits for another attempt", async () => {
    const { graph, begun } = holding();
    const runtime = await runtimeWith(graph);
    const threadId = await workedThread(runtime, { kwargs: input() });
    const { stop } = runtime.work();
    const { run_id: runId } = await accepted(runtime, { threadId, kwargs: input("go") });
    await begun.given;
    await stop(0);
    expect(await runById(runtime.db, runId)).toMatchObject({ status: "queued" });
    await cancelRun(runtime, { tenant, threadId, runId, action: "interrupt" });
    expect(await questionsOf(runtime)).toMatchObject([{ status: "superseded" }]);
  });
});

describe("an answer whose run died before it was written", () => {
  /** Its run is claimed as often as a run may lose its worker, and never begins. */
  async function buried(runtime: TestRuntime, runId: string): Promise<void> {
    for (let losses = 0; (await runById(runtime.db, runId)).status !== "error" && losses < 20; losses += 1) {
      await claimNext(runtime.db, { workerId: "gone", graphIds: ["any"], leaseSeconds: 30 });
      await expireLeases(runtime.db);
      await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
      await rowsOf(runtime, "update holdfast.runs set suspect = false, available_at = holdfast.now()");
    }
    expect(await runById(runtime.db, runId)).toMatchObject({ status: "error", input_applied: false });
  }
  const asAnother = { tenant, principal: "bob", afterSeconds: 0, dryRun: false, ...asItStands };

  it("is given again to the question it was for, in the name of who gave it", async () => {
    const runtime = await runtimeWith(graphWith(() => Promise.reject(new TypeError("broken"))));
    const threadId = await workedThread(runtime, { kwargs: input() });
    const dead = await accepted(runtime, { threadId, kwargs: answering("sure"), principal: "ann" });
    await buried(runtime, dead.run_id);
    expect(await questionsOf(runtime)).toMatchObject([{ status: "open" }]);
    const { run } = await redriveRun(runtime, { ...asAnother, runId: dead.run_id });
    runtime.work();
    await untilEnded(runtime, run?.run_id ?? "");
    expect(await rowsOf(runtime, "select status, decision, decided_by from holdfast.escalations")).toEqual([
      { status: "decided", decision: '"sure"', decided_by: "ann" },
    ]);
  });

  it("is not taken for the answer to another question", async () => {
    const runtime = await runtimeWith(graphWith(() => Promise.reject(new TypeError("broken"))));
    const threadId = await workedThread(runtime, { kwargs: input() });
    const dead = await accepted(runtime, { threadId, kwargs: answering("sure"), principal: "ann" });
    await buried(runtime, dead.run_id);
    await workedThread(runtime, { threadId, kwargs: input() });
    const asked = [{ status: "superseded" }, { status: "open" }];
    expect(await questionsOf(runtime)).toMatchObject(asked);
    const redriven = redriveRun(runtime, { ...asAnother, runId: dead.run_id });
    await expect(redriven).rejects.toThrow(Conflict);
    expect(await questionsOf(runtime)).toMatchObject(asked);
  });
});
