import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { claimNext, claimSuspect } from "../../src/db/queries/claim.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { one } from "../../src/db/query.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { chargeCrash, lossesMax } from "../../src/queue/crash.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { senderOf } from "../support/dead-letters.ts";
import { expireLeases, makeRun, runById } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted, attemptsOf, rowsOf, runtimeWith } from "../support/scenario.ts";
import { settle } from "../support/settle.ts";
import { untilEnded } from "../support/watch.ts";

let runtime: TestRuntime;
beforeEach(async () => {
  runtime = await startRuntime();
});
afterEach(() => runtime.close());

const reap = () => reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true, isolates: true });
const claim = (run: RunRow) => ({ workerId: "w", graphIds: [run.graph_id], leaseSeconds: 30 });

async function lose(): ReturnType<typeof reap> {
  await expireLeases(runtime.db);
  return reap();
}

async function claimedAlone(run: RunRow): Promise<RunRow> {
  const alone = one(await claimSuspect(runtime.db, claim(run)));
  if (alone === undefined) throw new Error("there is no suspect to claim");
  return alone;
}

async function claimedByAny(run: RunRow): Promise<RunRow> {
  const taken = one(await claimNext(runtime.db, claim(run)));
  if (taken === undefined) throw new Error("there is no run to claim");
  return taken;
}

/** By whom it is for now. */
const claimed = async (run: RunRow): Promise<RunRow> =>
  (await runById(runtime.db, run.run_id)).suspect ? claimedAlone(run) : claimedByAny(run);

/** As if this holder had committed a step. */
async function progress({ run_id, thread_id, epoch }: RunRow): Promise<void> {
  await runtime.db.query({
    text: `insert into public.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata, run_id, epoch)
           values ($1, '', $2, '{}', '{}', $3, $4)`,
    values: [thread_id, `step ${epoch}`, run_id, epoch],
  });
}

/** A run that two workers died under, claimed by who runs it alone. */
async function suspect(): Promise<RunRow> {
  const run = await makeRun(runtime.db, "running");
  await lose();
  await claimedByAny(run);
  await lose();
  return claimedAlone(run);
}

const death = { how: "killed by SIGABRT", stderr: "" };

describe("a run whose worker is gone", () => {
  const uncharged = { status: "queued", crashes: 0, failures: 0 };

  it("goes on at once in any other, charged nothing", async () => {
    const run = await makeRun(runtime.db, "running");
    expect(await lose()).toMatchObject({ requeued: 1, buried: 0 });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ ...uncharged, suspect: false, losses: 1 });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["lost"]);
    expect(one(await claimSuspect(runtime.db, claim(run)))).toBeUndefined();
    expect(await claimedByAny(run)).toMatchObject({ run_id: run.run_id, status: "running", epoch: 2 });
  });

  it("the second time is a suspect, charged nothing, and only for those who run it alone", async () => {
    const run = await makeRun(runtime.db, "running");
    await lose();
    await claimedByAny(run);
    expect(await lose()).toMatchObject({ requeued: 1, buried: 0 });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ ...uncharged, suspect: true, losses: 2 });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["lost", "lost"]);
    const explained = await senderOf(runtime).send("GET", `/threads/${run.thread_id}/explain`);
    expect(explained.json).toMatchObject({
      doing: expect.stringContaining("waiting to be run alone"),
      run: { suspect: true, losses: 2 },
    });
    expect(await claimNext(runtime.db, claim(run))).toEqual([]);
    expect(await claimedAlone(run)).toMatchObject({ run_id: run.run_id, status: "running", epoch: 3 });
  });

  it("the second time is a suspect also when it had got on in between", async () => {
    const run = await makeRun(runtime.db, "running");
    await progress(run);
    await lose();
    await progress(await claimedByAny(run));
    await lose();
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ ...uncharged, suspect: true, losses: 1 });
  });

  it("ends when it has got no further under ten of them", async () => {
    const run = await makeRun(runtime.db, "running");
    for (let lost = 1; lost < lossesMax; lost += 1) {
      expect(await lose()).toMatchObject({ requeued: 1 });
      await claimed(run);
    }
    expect(await lose()).toMatchObject({ requeued: 0, buried: 1 });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({
      status: "error",
      error: { code: "crash_budget", message: expect.stringContaining("10 workers died under it") },
    });
  });

  it("begins to count anew when it has got on", async () => {
    const run = await makeRun(runtime.db, "running");
    for (let lost = 1; lost < lossesMax; lost += 1) {
      await lose();
      await claimed(run);
    }
    await progress(await runById(runtime.db, run.run_id));
    expect(await lose()).toMatchObject({ requeued: 1, buried: 0 });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ losses: 1, suspect: true });
  });
});

describe("a suspect that kills its own process", () => {
  it("is charged at once, and ends at the third time with what its process said last", async () => {
    let run = await suspect();
    for (const crashes of [1, 2]) {
      expect(await chargeCrash(runtime.db, run, death)).toMatchObject({ kind: "requeued" });
      expect(await runById(runtime.db, run.run_id)).toMatchObject({
        status: "queued",
        suspect: true,
        crashes,
      });
      run = await claimedAlone(run);
    }
    const watchdog = JSON.stringify({ msg: "the event loop is blocked", stack: ["spin (graph.ts:3:1)"] });
    const last = { how: "killed by SIGKILL", stderr: `noise\u0000\n${watchdog}\n` };
    expect(await chargeCrash(runtime.db, run, last)).toMatchObject({ kind: "buried" });
    const ended = await runById(runtime.db, run.run_id);
    expect(ended).toMatchObject({
      status: "error",
      error: {
        code: "crash_budget",
        message: expect.stringMatching(/died 3 times .*killed by SIGKILL: the event loop is blocked/),
        stack: "    at spin (graph.ts:3:1)",
      },
    });
    expect(await attemptsOf(runtime, run.run_id)).toEqual(["lost", "lost", "crashed", "crashed", "dead"]);
    const events = await rowsOf(
      runtime,
      "select event from holdfast.run_events where run_id = $1",
      run.run_id,
    );
    expect(events.at(-1)).toEqual({ event: "error" });
  });

  it("is charged its first crash anew when it had got on", async () => {
    let run = await suspect();
    for (const _ of [1, 2]) {
      await chargeCrash(runtime.db, run, death);
      run = await claimedAlone(run);
    }
    await progress(run);
    expect(await chargeCrash(runtime.db, run, death)).toMatchObject({ kind: "requeued" });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ crashes: 1 });
  });

  it("after it was settled, or claimed by another one, is charged nothing", async () => {
    const run = await suspect();
    await lose();
    const second = await claimedAlone(run);
    expect(await chargeCrash(runtime.db, run, death)).toMatchObject({ kind: "moved" });
    await settle(runtime.db, { run: second, outcome: { kind: "released" }, finalEvents: [] });
    expect(await chargeCrash(runtime.db, second, death)).toMatchObject({ kind: "moved" });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ status: "queued", crashes: 0, losses: 3 });
  });

  it("ends as cancelled when somebody had asked it to stop", async () => {
    const run = await suspect();
    const { run_id: runId, thread_id: threadId } = run;
    await cancelRun(runtime, { tenant: "default", threadId, runId, action: "interrupt" });
    expect(await chargeCrash(runtime.db, run, death)).toMatchObject({ kind: "cancelled" });
    expect(await runById(runtime.db, runId)).toMatchObject({ status: "interrupted" });
  });
});

describe("a suspect", () => {
  const retry = {
    kind: "retry",
    delayMs: 0,
    charged: true,
    error: { code: "network", name: "Error", message: "reset" },
  } as const;

  it("that fails in order is none any more", async () => {
    const run = await suspect();
    await settle(runtime.db, { run, outcome: retry, finalEvents: [] });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ suspect: false, losses: 0, failures: 1 });
    expect(await claimNext(runtime.db, claim(run))).toHaveLength(1);
  });

  it("that is given back when its worker stops is still one", async () => {
    const run = await suspect();
    await settle(runtime.db, { run, outcome: { kind: "released" }, finalEvents: [] });
    expect(await runById(runtime.db, run.run_id)).toMatchObject({ suspect: true, attempt: 2 });
  });

  it("is run like any other where nobody can run it alone", async () => {
    const here = await runtimeWith();
    const run = await accepted(here, { graphId: "steps" });
    await here.db.query({
      text: "update holdfast.runs set suspect = true where run_id = $1 and status = 'queued'",
      values: [run.run_id],
    });
    here.work();
    expect(await untilEnded(here, run.run_id)).toMatchObject({ status: "success" });
  });
});
