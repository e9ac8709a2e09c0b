import { setTimeout as sleep } from "node:timers/promises";
import { END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { claimNext } from "../../src/db/queries/claim.ts";
import { lockThread, openRuns } from "../../src/db/queries/create.ts";
import { prepareEffect } from "../../src/db/queries/effects.ts";
import type { RunRow, RunWithOutput } from "../../src/db/queries/rows.ts";
import { requestCancel } from "../../src/db/queries/runs.ts";
import type { Queryable } from "../../src/db/query.ts";
import { newId } from "../../src/domain/ids.ts";
import { cancelRun, deleteRun } from "../../src/queue/cancel.ts";
import { endWaiting } from "../../src/queue/end-waiting.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { pruneOnce, temporarySecondsMax } from "../../src/queue/scheduler.ts";
import { expireLeases, makeRun, runById } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import {
  accepted,
  answering,
  LogState,
  logOf,
  questionsOf,
  rowsOf,
  runtimeWith,
  signal,
  threadStatus,
  workedThread,
} from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

const tenant = "default";
const open = { status: "open", decision: null };
const going = { input: null, stream_mode: ["values" as const] };

/** Answers the thread's question (again) and works until the run has ended. */
async function answered(
  runtime: TestRuntime,
  threadId: string,
  graphId = "approval",
): Promise<RunWithOutput> {
  const run = await accepted(runtime, { graphId, threadId, kwargs: answering("at last") });
  runtime.work();
  return untilEnded(runtime, run.run_id);
}

const claim = (db: Queryable, graphId: string): Promise<RunRow[]> =>
  claimNext(db, { workerId: "another", graphIds: [graphId], leaseSeconds: 30 });

/** Whether the database has a statement that waits for a lock. */
async function untilSomebodyWaits(runtime: TestRuntime): Promise<void> {
  const waiting = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await rowsOf(runtime, waiting)).length === 0) await sleep(10);
}

describe("an answer that was not used", () => {
  it.each(["interrupt", "rollback"] as const)(
    "gives its question back when another run comes with the strategy %s",
    async (multitaskStrategy) => {
      const runtime = await runtimeWith();
      const threadId = await workedThread(runtime, { graphId: "approval" });
      const resume = await accepted(runtime, { graphId: "approval", threadId, kwargs: answering("yes") });
      const next = await accepted(runtime, {
        graphId: "approval",
        threadId,
        multitaskStrategy,
        kwargs: going,
      });
      const { stop } = runtime.work();
      expect(await untilEnded(runtime, next.run_id)).toMatchObject({ status: "success" });
      await stop(2_000);
      if (multitaskStrategy === "rollback") expect(await runById(runtime.db, resume.run_id)).toBeUndefined();
      else expect(await runById(runtime.db, resume.run_id)).toMatchObject({ status: "interrupted" });
      expect(await questionsOf(runtime)).toEqual([open]);
      expect(await threadStatus(runtime)).toBe("interrupted");
      expect(logOf(await answered(runtime, threadId))).toEqual(["draft", "gate:at last", "pay"]);
    },
  );

  it("gives its question back when its run was claimed and cancelled before the answer was written", async () => {
    const runtime = await runtimeWith();
    const threadId = await workedThread(runtime, { graphId: "approval" });
    const resume = await accepted(runtime, { graphId: "approval", threadId, kwargs: answering("yes") });
    expect(await claim(runtime.db, "approval")).toHaveLength(1);
    await cancelRun(runtime, { tenant, threadId, runId: resume.run_id, action: "interrupt" });
    await expireLeases(runtime.db);
    await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
    expect(await runById(runtime.db, resume.run_id)).toMatchObject({ status: "interrupted" });
    expect(await questionsOf(runtime)).toEqual([open]);
    expect(await threadStatus(runtime)).toBe("interrupted");
    expect(logOf(await answered(runtime, threadId))).toEqual(["draft", "gate:at last", "pay"]);
  });

  it.each(["queued", "claimed"])("gives its question back when its run is deleted while %s", async (when) => {
    const runtime = await runtimeWith();
    const threadId = await workedThread(runtime, { graphId: "approval" });
    const resume = await accepted(runtime, { graphId: "approval", threadId, kwargs: answering("yes") });
    if (when === "claimed") expect(await claim(runtime.db, "approval")).toHaveLength(1);
    await deleteRun(runtime, { tenant, threadId, runId: resume.run_id });
    expect(await questionsOf(runtime)).toEqual([open]);
    expect(await threadStatus(runtime)).toBe("interrupted");
    expect(logOf(await answered(runtime, threadId))).toEqual(["draft", "gate:at last", "pay"]);
  });
});

describe("an answer that was used by a run that is back in the queue", () => {
  it("is taken back, with all that the run wrote, when another run comes with the strategy rollback", async () => {
    const begun = signal();
    const goOn = signal();
    const graph = new StateGraph(LogState)
      .addNode("gate", () => ({ log: [`gate:${interrupt("ok?")}`] }))
      .addNode("x", async () => {
        begun.give();
        await goOn.given;
        return { log: ["x"] };
      })
      .addNode("y", () => ({ log: ["y"] }))
      .addEdge(START, "gate")
      .addEdge("gate", "x")
      .addEdge("x", "y")
      .addEdge("y", END)
      .compile();
    const runtime = await runtimeWith(graph);
    const threadId = await workedThread(runtime);
    const { stop } = runtime.work();
    const resume = await accepted(runtime, { threadId, kwargs: answering("yes") });
    await begun.given;
    await stop(0);
    expect(await runById(runtime.db, resume.run_id)).toMatchObject({ status: "queued", input_applied: true });
    const next = await accepted(runtime, { threadId, multitaskStrategy: "rollback", kwargs: going });
    goOn.give();
    const left = `select (select count(*)::int from public.checkpoints where run_id = $1) as checkpoints,
      (select count(*)::int from public.checkpoint_writes where run_id = $1) as writes,
      (select count(*)::int from holdfast.runs where run_id = $1) as runs`;
    expect(await rowsOf(runtime, left, resume.run_id)).toEqual([{ checkpoints: 0, writes: 0, runs: 0 }]);
    const worker = runtime.work();
    const ended = await untilEnded(runtime, next.run_id);
    expect(ended).toMatchObject({ status: "success" });
    expect(logOf(ended)).toEqual([]);
    expect(await questionsOf(runtime)).toEqual([open]);
    await worker.stop(2_000);
    expect(logOf(await answered(runtime, threadId, "any"))).toEqual(["gate:at last", "x", "y"]);
  });
});

describe("a resume", () => {
  it("with after_seconds is refused, and its question stays open", async () => {
    const runtime = await runtimeWith();
    const threadId = await workedThread(runtime, { graphId: "approval" });
    const late = { graphId: "approval", threadId, kwargs: answering("yes"), afterSeconds: 2 };
    await expect(accepted(runtime, late)).rejects.toMatchObject({
      name: "InvalidInput",
      field: "after_seconds",
    });
    expect(await questionsOf(runtime)).toEqual([open]);
    expect(await rowsOf(runtime, "select 1 from holdfast.runs")).toHaveLength(1);
  });
});

describe("a run that is claimed between the look at it and its end", () => {
  it.each(["interrupt", "rollback"] as const)(
    "is asked to stop (%s), as if it had been seen running",
    async (action) => {
      const runtime = await runtimeWith();
      const run = await accepted(runtime, { graphId: "steps" });
      await runtime.db.transaction(async (tx) => {
        await lockThread(tx, { threadId: run.thread_id, tenant });
        const [seen] = await openRuns(tx, { threadId: run.thread_id });
        expect(seen).toMatchObject({ status: "queued" });
        expect(await claim(runtime.db, "steps")).toHaveLength(1);
        if (seen !== undefined) await endWaiting(tx, seen, action);
      });
      expect(await runById(runtime.db, run.run_id)).toMatchObject({
        status: "running",
        cancel_requested: action,
      });
    },
  );

  it("cannot be claimed any more once its rollback has begun, and nothing of it is left", async () => {
    const begun = signal();
    const goOn = signal();
    const graph = new StateGraph(LogState)
      .addNode("a", async () => {
        begun.give();
        await goOn.given;
        return { log: ["a"] };
      })
      .addNode("b", () => ({ log: ["b"] }))
      .addEdge(START, "a")
      .addEdge("a", "b")
      .addEdge("b", END)
      .compile();
    const runtime = await runtimeWith(graph);
    const { stop } = runtime.work();
    const { run_id: runId, thread_id: threadId } = await accepted(runtime);
    await begun.given;
    await stop(0);
    goOn.give();
    expect(await runById(runtime.db, runId)).toMatchObject({ status: "queued" });
    let cancelled: Promise<RunRow> | undefined;
    await runtime.db.transaction(async (tx) => {
      // Somebody holds a checkpoint of it for a moment.
      await rowsOf({ db: tx }, "select 1 from public.checkpoints where thread_id = $1 for update", threadId);
      cancelled = cancelRun(runtime, { tenant, threadId, runId, action: "rollback" });
      await untilSomebodyWaits(runtime);
      expect(await claim(runtime.db, "any")).toEqual([]);
    });
    await cancelled;
    expect(await runById(runtime.db, runId)).toBeUndefined();
    expect(await rowsOf(runtime, "select 1 from public.checkpoints where run_id = $1", runId)).toEqual([]);
  });
});

describe("an effect that is prepared while its thread is locked", () => {
  it("does not deadlock with a cancel of its run", async () => {
    const runtime = await runtimeWith();
    const run = await makeRun(runtime.db, "running");
    const { run_id: runId, thread_id: threadId, epoch } = run;
    const told = {
      ...{ tenant, taskId: "t", ordinal: 0, tool: "pay", toolVersion: null, toolCallId: null },
      ...{ class: "at_most_once" as const, key: "k", businessKey: null, argsDigest: "d", args: "{}" },
      ...{ checkpoint: { ns: "", id: "c" }, attempt: 1 },
    } as const;
    await rowsOf(
      runtime,
      `insert into public.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint) values ($1, '', 'c', '{}')`,
      threadId,
    );
    await runtime.db.transaction(async (tx) => {
      await lockThread(tx, { threadId, tenant });
      const prepared = await prepareEffect(runtime.db, {
        runId,
        threadId,
        epoch,
        effectId: newId(),
        ...told,
      });
      expect(prepared).toMatchObject([{ row: { state: "prepared" } }]);
      await requestCancel(tx, { runId, action: "interrupt" });
    });
    expect(await runById(runtime.db, runId)).toMatchObject({ cancel_requested: "interrupt" });
  });
});

describe("the thread of a stateless run", () => {
  it("is kept while its question is open, and goes when that was answered", async () => {
    const runtime = await runtimeWith();
    runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
    const threadId = await workedThread(runtime, { graphId: "approval", temporary: true });
    runtime.clock.advance((temporarySecondsMax + 1) * 1_000);
    expect(await pruneOnce(runtime)).toMatchObject({ threads: 0 });
    expect(await questionsOf(runtime)).toEqual([open]);
    expect(logOf(await answered(runtime, threadId))).toEqual(["draft", "gate:at last", "pay"]);
    runtime.clock.advance((temporarySecondsMax + 1) * 1_000);
    expect(await pruneOnce(runtime)).toMatchObject({ threads: 1 });
    expect(await rowsOf(runtime, "select 1 from holdfast.threads")).toEqual([]);
  });
});
