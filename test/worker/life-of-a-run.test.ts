import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listDeadLetters } from "../../src/db/queries/dead-letters.ts";
import type { RunRow, RunWithOutput } from "../../src/db/queries/rows.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { createRun } from "../../src/queue/create.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { pruneOnce, scheduleOnce, temporarySecondsMax } from "../../src/queue/scheduler.ts";
import { expireLeases, makeRun, runById, runRequest } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { countingStatements } from "../support/statements.ts";
import { eventsOf, until, untilEnded } from "../support/watch.ts";

let runtime: TestRuntime;
beforeEach(async () => {
  runtime = await startRuntime();
});
afterEach(() => runtime.close());

async function accepted(overrides: Partial<CreateRun>): Promise<RunRow> {
  const { run } = await createRun(runtime.db, runRequest(overrides));
  runtime.bus.publish("queue", run.thread_id);
  return run;
}
const untilRow = (
  runId: string,
  look: (run: RunWithOutput) => boolean,
  what: string,
): Promise<RunWithOutput> =>
  until(
    runtime.bus,
    async () => {
      const run = await runById(runtime.db, runId);
      return look(run) ? run : undefined;
    },
    what,
  );
const attemptsOf = async (runId: string) =>
  (
    await runtime.db.query({
      text: `select attempt, outcome, round(extract(epoch from retry_at - ended_at) * 1000)::int as wait_ms
               from holdfast.run_attempts where run_id = $1 order by epoch`,
      values: [runId],
    })
  ).rows;

describe("a worker", () => {
  it("claims several runs at once, the oldest first, and never more than it has slots for", async () => {
    const runs: RunRow[] = [];
    const kwargs: CreateRun["kwargs"] = { input: { wait: 600_000 }, stream_mode: ["values"] };
    for (let n = 0; n < 6; n += 1) runs.push(await accepted({ graphId: "steps", kwargs }));
    const { counts, stop } = countingStatements(runtime.db);
    const { worker } = runtime.work({ slotsMax: 3 });
    await until(runtime.bus, async () => (worker.activeRuns === 3 ? true : undefined), "three runs at work");
    const { rows } = await runtime.db.query({
      text: "select run_id from holdfast.runs where status = 'running' order by seq",
      values: [],
    });
    expect(rows.map(({ run_id }) => run_id)).toEqual(runs.slice(0, 3).map(({ run_id }) => run_id));
    expect(counts.get("claim.next_2")).toBe(1);
    expect(counts.get("claim.next")).toBe(1);
    stop();
  });

  it("rests after a claim that found less than it asked for", async () => {
    const { counts, stop } = countingStatements(runtime.db);
    runtime.work({ slotsMax: 4, pollMillis: 60_000 });
    await expect.poll(() => counts.get("claim.next_due") ?? 0, { interval: 5 }).toBe(1);
    counts.clear();
    const kwargs: CreateRun["kwargs"] = { input: { wait: 600_000 }, stream_mode: ["values"] };
    await accepted({ graphId: "steps", kwargs });
    await expect.poll(() => counts.get("claim.next_due") ?? 0, { interval: 5 }).toBe(1);
    expect(counts.get("claim.next_4")).toBe(1);
    stop();
  });
});

describe("a run that fails", () => {
  it("transiently is tried five times, with waits of 2, 4, 8 and 16 s, and ends exhausted", async () => {
    runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
    const run = await accepted({
      graphId: "failing",
      kwargs: { input: { fail: "transient" }, stream_mode: ["values"] },
    });
    runtime.work({ pollMillis: 20 });
    for (const seconds of [2, 4, 8, 16]) {
      const waiting = await untilRow(
        run.run_id,
        (row) => row.status === "queued" && row.failures > 0,
        "a retry",
      );
      expect(waiting.error).toMatchObject({ code: "timeout", message: "come back later" });
      runtime.clock.advance(seconds * 1_000 - 1);
      runtime.bus.publish("queue", "*");
      expect((await runById(runtime.db, run.run_id)).status).toBe("queued");
      runtime.clock.advance(1);
      runtime.bus.publish("queue", "*");
      await untilRow(
        run.run_id,
        (row) => row.failures > waiting.failures || row.finished_at !== null,
        "the next attempt",
      );
    }
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({
      status: "timeout",
      error: { code: "exhausted" },
    });
    expect(await attemptsOf(run.run_id)).toEqual([
      { attempt: 1, outcome: "retry", wait_ms: 2_000 },
      { attempt: 2, outcome: "retry", wait_ms: 4_000 },
      { attempt: 3, outcome: "retry", wait_ms: 8_000 },
      { attempt: 4, outcome: "retry", wait_ms: 16_000 },
      { attempt: 5, outcome: "dead", wait_ms: null },
    ]);
  });

  it("in its own code ends at the first attempt, and is a dead letter with its stack", async () => {
    runtime.work();
    const run = await accepted({
      graphId: "failing",
      kwargs: { input: { fail: "a bug" }, stream_mode: ["values"] },
    });
    const ended = await untilEnded(runtime, run.run_id);
    expect(ended).toMatchObject({
      status: "error",
      attempt: 1,
      error: { message: "a bug", stack: expect.stringContaining("test/graphs") },
    });
    const letters = await listDeadLetters(runtime.db, {
      tenant: "default",
      all: false,
      graphId: null,
      code: null,
      fingerprint: null,
      since: null,
      access: null,
      until: null,
      runIds: null,
      limit: 10,
      offset: 0,
    });
    expect(letters.map((letter) => letter.run_id)).toEqual([run.run_id]);
    expect((await eventsOf(runtime.db, run.run_id)).at(-1)).toMatchObject({
      event: "error",
      data: { error: "Error", message: "a bug" },
    });
  });

  it("keeps the steps it had committed, and a redone run goes on behind them", async () => {
    runtime.work();
    const failed = await accepted({
      graphId: "failing",
      kwargs: { input: { fail: "a bug" }, stream_mode: ["values"] },
    });
    await untilEnded(runtime, failed.run_id);
    const again = await accepted({
      graphId: "failing",
      threadId: failed.thread_id,
      kwargs: { command: { update: { fail: "" }, goto: "fails" }, stream_mode: ["values"] },
    });
    const ended = await untilEnded(runtime, again.run_id);
    expect(JSON.parse(ended.output ?? "").log).toEqual(["fine", "fails not"]);
  });
});

describe("a worker that stops", () => {
  it("gives its run back at a step boundary, without charging an attempt, and another one goes on", async () => {
    const first = runtime.work();
    const run = await accepted({
      graphId: "steps",
      kwargs: { input: { wait: 300 }, stream_mode: ["values"] },
    });
    await untilRow(run.run_id, (row) => row.status === "running", "the claim");
    await first.stop(5_000);
    expect(await runById(runtime.db, run.run_id)).toMatchObject({
      status: "queued",
      attempt: 0,
      failures: 0,
      crashes: 0,
    });
    const { rows } = await runtime.db.query({
      text: "select 1 from public.checkpoints where run_id = $1",
      values: [run.run_id],
    });
    expect(rows.length, "what was done is kept").toBeGreaterThan(0);
    runtime.work();
    const ended = await untilEnded(runtime, run.run_id);
    expect(ended).toMatchObject({ status: "success", attempt: 1 });
    expect(JSON.parse(ended.output ?? "").log).toEqual(["a", "b", "c"]);
  });
});

describe("a run whose worker is gone", () => {
  it("goes back into the queue twice, and ends at the third crash", async () => {
    const run = await makeRun(runtime.db, "running");
    for (const crashes of [1, 2]) {
      await expireLeases(runtime.db);
      const reaped = await reapOnce(runtime, { graceSeconds: 30, ignoreRestart: true });
      expect(reaped).toMatchObject({ requeued: 1, buried: 0 });
      expect(await runById(runtime.db, run.run_id)).toMatchObject({ status: "queued", crashes });
      await runtime.db.query({
        text: `update holdfast.runs set status = 'running', epoch = epoch + 1, lease_until = holdfast.now()
                where run_id = $1 and status = 'queued'`,
        values: [run.run_id],
      });
    }
    await expireLeases(runtime.db);
    expect(await reapOnce(runtime, { graceSeconds: 30, ignoreRestart: true })).toMatchObject({ buried: 1 });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({
      status: "error",
      error: { code: "crash_budget" },
    });
  });

  it("is left alone for one lease after Postgres itself came back", async () => {
    await makeRun(runtime.db, "running");
    await expireLeases(runtime.db);
    const aDay = 24 * 3_600;
    expect(await reapOnce(runtime, { graceSeconds: 365 * aDay })).toMatchObject({ requeued: 0, buried: 0 });
  });

  it("ends as cancelled when somebody had asked it to stop", async () => {
    const run = await makeRun(runtime.db, "running");
    await cancelRun(runtime, {
      tenant: "default",
      threadId: run.thread_id,
      runId: run.run_id,
      action: "interrupt",
    });
    await expireLeases(runtime.db);
    await reapOnce(runtime, { graceSeconds: 30, ignoreRestart: true });
    expect((await runById(runtime.db, run.run_id)).status).toBe("interrupted");
  });
});

describe("a delayed run", () => {
  it("starts when it is due, and lets others of its thread go first", async () => {
    runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
    const late = await accepted({ graphId: "steps", afterSeconds: 60 });
    const now = await accepted({ graphId: "steps", threadId: late.thread_id });
    runtime.work({ pollMillis: 20 });
    await untilEnded(runtime, now.run_id);
    expect((await runById(runtime.db, late.run_id)).status).toBe("blocked");
    runtime.clock.advance(59_000);
    expect(await scheduleOnce(runtime)).toMatchObject({ promoted: 0 });
    runtime.clock.advance(1_000);
    await untilEnded(runtime, late.run_id);
  });
});

describe("the queue", () => {
  it("works when every notification is lost", async () => {
    const deaf = await startRuntime({ listen: false, url: runtime.url });
    deaf.work({ pollMillis: 50 });
    const { run } = await createRun(runtime.db, runRequest({ graphId: "steps" }));
    await untilEnded(runtime, run.run_id);
    await deaf.close();
  });

  it("runs fifty runs of one thread one after the other, in order, with eight workers", async () => {
    const threadId = (await makeRun(runtime.db, "queued", { graphId: "steps" })).thread_id;
    const runs: RunRow[] = [];
    for (let n = 0; n < 49; n += 1) {
      const kwargs = { input: { log: [`run ${n}`] }, stream_mode: ["values"] };
      runs.push((await createRun(runtime.db, runRequest({ graphId: "steps", threadId, kwargs }))).run);
    }
    for (let n = 0; n < 8; n += 1) runtime.work({ slotsMax: 2 });
    let last: RunWithOutput | undefined;
    for (const run of runs) last = await untilEnded(runtime, run.run_id);
    const log = (JSON.parse(last?.output ?? "") as { log: string[] }).log.filter((entry) =>
      entry.startsWith("run"),
    );
    expect(log).toEqual(Array.from({ length: 49 }, (_, n) => `run ${n}`));
  });

  it("takes threads of stateless runs away when nobody can read their stream any more", async () => {
    runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
    runtime.work({ pollMillis: 20 });
    const run = await accepted({ graphId: "steps", temporary: true });
    await untilEnded(runtime, run.run_id);
    expect(await pruneOnce(runtime)).toMatchObject({ threads: 0 });
    runtime.clock.advance((temporarySecondsMax + 1) * 1_000);
    expect(await pruneOnce(runtime)).toMatchObject({ threads: 1 });
    const { rows } = await runtime.db.query({
      text: "select 1 from public.checkpoints where thread_id = $1",
      values: [run.thread_id],
    });
    expect(rows).toEqual([]);
  });
});

describe("a rollback", () => {
  it("of a run that answered a question gives the question back, with nothing of the run left", async () => {
    runtime.work();
    const first = await accepted({ graphId: "approval" });
    await untilEnded(runtime, first.run_id);
    const before = await everyCheckpoint(first.thread_id);
    const kwargs = { command: { resume: "yes", update: { wait: 4_000 } }, stream_mode: ["values"] };
    const answer = await accepted({ graphId: "approval", threadId: first.thread_id, kwargs });
    await untilRow(answer.run_id, (row) => row.input_applied, "the answer to be applied");
    await cancelRun(runtime, {
      tenant: "default",
      threadId: first.thread_id,
      runId: answer.run_id,
      action: "rollback",
    });
    await until(
      runtime.bus,
      async () => ((await runById(runtime.db, answer.run_id)) === undefined ? true : undefined),
      "the run to go",
    );
    expect(await everyCheckpoint(first.thread_id)).toEqual(before);
    const { rows } = await runtime.db.query({
      text: "select status, decision from holdfast.escalations",
      values: [],
    });
    expect(rows).toEqual([{ status: "open", decision: null }]);
    const again = await accepted({
      graphId: "approval",
      threadId: first.thread_id,
      kwargs: { command: { resume: "no" }, stream_mode: ["values"] },
    });
    expect(JSON.parse((await untilEnded(runtime, again.run_id)).output ?? "").log).toEqual([
      "draft",
      "gate:no",
      "pay",
    ]);
  });

  async function everyCheckpoint(threadId: string): Promise<unknown> {
    const checkpoints = await runtime.db.query({
      text: "select checkpoint_id, run_id from public.checkpoints where thread_id = $1 order by seq",
      values: [threadId],
    });
    const writes = await runtime.db.query({
      text: "select checkpoint_id, task_id, idx, channel, encode(blob, 'hex') as blob from public.checkpoint_writes where thread_id = $1 order by 1, 2, 3",
      values: [threadId],
    });
    return { checkpoints: checkpoints.rows, writes: writes.rows };
  }
});
