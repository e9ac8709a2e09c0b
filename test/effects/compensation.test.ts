import { afterEach, describe, expect, it } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { createApp } from "../../src/http/app.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { cancelRun, deleteRun } from "../../src/queue/cancel.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import { asItStands } from "../../src/queue/redrive-plan.ts";
import type { Worker } from "../../src/worker/worker.ts";
import { expireLeases } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, rowsOf, runFast, runtimeWith, signal } from "../support/scenario.ts";
import { booked, cancelled, stops, type TripChoices, tripGraph, World } from "../support/trip.ts";
import { eventsOf, until, untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

interface Trip {
  runtime: TestRuntime;
  world: World;
  run: RunRow;
  worker: Worker;
}

const testConfig = {
  version: "test",
  bodyBytesMax: 1_048_576,
  heartbeatSeconds: 5,
  pollMillis: 200,
  authRequired: false,
  requestsPerSecondMax: 0,
  streamsPerPrincipalMax: 0,
  webhooksPrivate: false,
};

const bug = (): never => {
  throw new Error("no such city");
};

/** A trip whose last step goes wrong, worked on by one worker, with time running fast. */
async function started(
  choices: Partial<TripChoices> = {},
  told: { runtime?: TestRuntime } = {},
): Promise<Trip> {
  const world = choices.world ?? new World();
  const runtime = await runtimeWith(tripGraph({ world, last: bug, ...choices }));
  told.runtime = runtime;
  runFast(runtime);
  const { worker } = runtime.work({ pollMillis: 20 });
  return { runtime, world, worker, run: await accepted(runtime) };
}

/** The worker is gone, and its runs are given back. */
async function loseLeases(runtime: TestRuntime): Promise<void> {
  await expireLeases(runtime.db);
  await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
}

/** The thread's compensation runs, when none is open any more. */
function settledCompensations(runtime: TestRuntime, threadId: string): Promise<RunRow[]> {
  const look = async (): Promise<RunRow[] | undefined> => {
    const rows = await rowsOf(
      runtime,
      "select * from holdfast.runs where thread_id = $1 order by seq",
      threadId,
    );
    const runs = rows as unknown as RunRow[];
    const open = runs.some(({ finished_at }) => finished_at === null);
    const found = runs.filter(({ kind }) => kind === "compensation");
    return open || found.length === 0 ? undefined : found;
  };
  return until(runtime.bus, look, "the compensation to end");
}

const threadOf = async (runtime: TestRuntime): Promise<Record<string, unknown> | undefined> =>
  (await rowsOf(runtime, "select status, error from holdfast.threads"))[0];

const ledgerOf = (runtime: TestRuntime): Promise<Record<string, unknown>[]> =>
  rowsOf(runtime, "select tool, state from holdfast.effects where compensates is null order by seq");

/** Does this once, at the nth time that the boundary is reached. */
function onceAt(boundary: string, nth: number, act: () => unknown): void {
  let hits = 0;
  setFailpoints(async (name) => {
    if (name !== boundary) return;
    hits += 1;
    if (hits === nth) await act();
  });
}

describe("a run that dies", () => {
  it("has its effects undone in reverse order, and then the thread shows its error again", async () => {
    const { runtime, world, run } = await started();
    const [compensation] = await settledCompensations(runtime, run.thread_id);
    expect(world.log).toEqual([...booked(), ...cancelled()]);
    expect(compensation).toMatchObject({
      status: "success",
      compensates: run.run_id,
      metadata: { compensates: run.run_id },
    });
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ status: "error" });
    expect(await threadOf(runtime)).toEqual({ status: "error", error: "no such city" });
    expect(await ledgerOf(runtime)).toEqual([
      { tool: "flight", state: "compensated" },
      { tool: "hotel", state: "compensated" },
      { tool: "car", state: "compensated" },
    ]);
  });

  it("tells each step in the compensation's own stream", async () => {
    const { runtime, run } = await started();
    const [compensation] = await settledCompensations(runtime, run.thread_id);
    const told = (await eventsOf(runtime.db, compensation?.run_id ?? "")).map(({ event, data }) =>
      event === "custom" ? (data as { compensation: { tool: string } }).compensation.tool : event,
    );
    expect(told).toEqual(["metadata", "car", "hotel", "flight"]);
  });

  it("keeps the thread busy and later runs waiting until everything is undone", async () => {
    const reached = signal();
    const go = signal();
    let held = false;
    setFailpoints((name) => {
      if (name !== "compensation.begun" || held) return undefined;
      held = true;
      reached.give();
      return go.given;
    });
    const { runtime, world, run } = await started({
      last: ({ who }) => (who === undefined ? bug() : undefined),
    });
    await reached.given;
    expect(await threadOf(runtime)).toMatchObject({ status: "busy" });
    const next = await accepted(runtime, {
      threadId: run.thread_id,
      multitaskStrategy: "interrupt",
      kwargs: { input: { who: "next" }, stream_mode: ["values"] },
    });
    expect(next.status).toBe("blocked");
    runtime.bus.publish("cancel", "*");
    await expect(
      accepted(runtime, { threadId: run.thread_id, multitaskStrategy: "reject" }),
    ).rejects.toMatchObject({ name: "ThreadBusy" });
    go.give();
    expect(await untilEnded(runtime, next.run_id)).toMatchObject({ status: "success" });
    expect(world.log).toEqual([...booked(), ...cancelled(), ...booked(" of next")]);
    expect(await threadOf(runtime)).toEqual({ status: "idle", error: null });
  });

  it("by the crash budget is compensated as well", async () => {
    const reached = signal();
    const go = signal();
    const { runtime, world, run } = await started({
      last: () => {
        reached.give();
        return go.given;
      },
    });
    await reached.given;
    await runtime.db.query({
      text: "update holdfast.runs set crashes = 2, epoch = epoch + 1 where run_id = $1",
      values: [run.run_id],
    });
    await loseLeases(runtime);
    go.give();
    await settledCompensations(runtime, run.thread_id);
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ error: { code: "crash_budget" } });
    expect(world.log).toEqual([...booked(), ...cancelled()]);
  });

  it("cannot be redriven from its last checkpoint once its effects are undone", async () => {
    const { runtime, run } = await started();
    await settledCompensations(runtime, run.thread_id);
    await expect(
      redriveRun(runtime, {
        ...{ tenant: "default", runId: run.run_id, principal: "tester" },
        ...{ ...asItStands, afterSeconds: 0, dryRun: false },
      }),
    ).rejects.toMatchObject({ name: "Conflict", message: expect.stringContaining("undone") });
  });
});

describe("a compensation", () => {
  it("cannot be cancelled or deleted while it is open", async () => {
    const { runtime, run } = await started({
      onCancel: () => {
        throw new Transient("come back later");
      },
    });
    const compensation = await until(
      runtime.bus,
      async () =>
        (
          await rowsOf(runtime, "select * from holdfast.runs where kind = 'compensation' and failures > 0")
        )[0],
      "the compensation to fail once",
    );
    const name = { tenant: "default", threadId: run.thread_id, runId: String(compensation.run_id) };
    await expect(cancelRun(runtime, { ...name, action: "rollback" })).rejects.toMatchObject({
      name: "Conflict",
    });
    await expect(deleteRun(runtime, name)).rejects.toMatchObject({ name: "Conflict" });
  });

  it.each([
    "compensation.begun",
    "effect.prepared",
    "effect.dispatched",
    "effect.performed",
    "effect.succeeded",
    "compensation.settled",
  ])("that loses its worker at %s goes on where it was, and undoes each effect once", async (boundary) => {
    const { runtime, world, run } = await started({
      last: () => {
        onceAt(boundary, boundary.startsWith("compensation") ? 1 : 2, () => loseLeases(runtime));
        bug();
      },
    });
    await settledCompensations(runtime, run.thread_id);
    expect(world.log).toEqual([...booked(), ...cancelled()]);
    expect(world.calls.length).toBeLessThanOrEqual(7);
  });

  it("whose worker dies while it settles is settled by the next one", async () => {
    let settling = 0;
    setFailpoints((name) => {
      // The dying run settles first.
      if (name === "settle.before_commit" && ++settling === 2) throw new Error("cut off here");
    });
    const { runtime, world, worker, run } = await started();
    const cutOff = async () => (settling === 2 && worker.activeRuns === 0 ? true : undefined);
    await until(runtime.bus, cutOff, "the worker to let go");
    await loseLeases(runtime);
    expect(await settledCompensations(runtime, run.thread_id)).toMatchObject([{ status: "success" }]);
    expect(world.log).toEqual([...booked(), ...cancelled()]);
    expect(world.calls).toHaveLength(6);
  });

  it("is tried again after a transient failure, in the same order", async () => {
    let failures = 0;
    const { runtime, world, run } = await started({
      onCancel: (tool) => {
        if (tool === "hotel" && failures++ < 3) throw new Transient("come back later");
      },
    });
    const [compensation] = await settledCompensations(runtime, run.thread_id);
    expect(compensation).toMatchObject({ status: "success", failures: 3 });
    expect(world.log).toEqual([...booked(), ...cancelled()]);
  });
});

/** The dead compensation and the question it asks. */
async function stuck(choices: Partial<TripChoices>): Promise<Trip & { question: Record<string, unknown> }> {
  const trip = await started(choices);
  await settledCompensations(trip.runtime, trip.run.thread_id);
  const [question] = await rowsOf(trip.runtime, "select * from holdfast.escalations");
  if (question === undefined) throw new Error("nothing was asked");
  return { ...trip, question };
}

const decide = ({ runtime, question }: Awaited<ReturnType<typeof stuck>>, body: object) =>
  createApp({ ...runtime, config: testConfig, ready: async () => true }).request(
    `/escalations/${question.escalation_id}/decide`,
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
  );

const hotelRefuses = (tool: string): void => {
  if (tool === "hotel") throw new Error("no refunds");
};

describe("a compensation that fails for good", () => {
  it("stops there, asks a human, and leaves the thread in error", async () => {
    const { runtime, world, run, question } = await stuck({ onCancel: hotelRefuses });
    expect(world.log).toEqual([...booked(), "cancel car"]);
    expect(question).toMatchObject({
      status: "open",
      node: "compensation",
      compensation: true,
      interrupt_id: null,
      allowed_decisions: ["accept", "response", "ignore"],
    });
    const [asked] = JSON.parse(String(question.payload));
    expect(asked.action_request).toMatchObject({
      action: "compensate hotel",
      args: { run_id: run.run_id, state: "succeeded", result: { deed: "book hotel" } },
    });
    const [compensation] = await settledCompensations(runtime, run.thread_id);
    expect(compensation).toMatchObject({ status: "error", error: { code: "compensation_stuck" } });
    expect(await threadOf(runtime)).toEqual({ status: "error", error: "no refunds" });
  });

  it("asks after its last attempt, when the other side stays away", async () => {
    const { world, question } = await stuck({
      onCancel: () => {
        throw new Transient("nobody answers");
      },
    });
    expect(world.log).toEqual(booked());
    expect(question).toMatchObject({ status: "open" });
  });

  it("is gone on with after the human has undone the effect by hand", async () => {
    const trip = await stuck({ onCancel: hotelRefuses });
    const response = await decide(trip, { decision: "accept", comment: "by phone" });
    expect(response.status).toBe(202);
    const all = await settledCompensations(trip.runtime, trip.run.thread_id);
    expect(all.map(({ status }) => status)).toEqual(["error", "success"]);
    expect(trip.world.log).toEqual([...booked(), "cancel car", "cancel flight"]);
    const [hotel] = await rowsOf(
      trip.runtime,
      "select state, compensation_decision from holdfast.effects where tool = 'hotel'",
    );
    expect(hotel).toMatchObject({
      state: "compensated",
      compensation_decision: { outcome: "undone", comment: "by phone" },
    });
    expect(await threadOf(trip.runtime)).toEqual({ status: "error", error: "no such city" });
  });

  it("leaves the effect where the human says so, and marks who said it", async () => {
    const trip = await stuck({ onCancel: hotelRefuses });
    expect((await decide(trip, { decision: "ignore" })).status).toBe(202);
    await settledCompensations(trip.runtime, trip.run.thread_id);
    expect(trip.world.log).toEqual([...booked(), "cancel car", "cancel flight"]);
    const [hotel] = await rowsOf(
      trip.runtime,
      "select state, compensated_at, compensation_decision ->> 'outcome' as outcome from holdfast.effects where tool = 'hotel'",
    );
    expect(hotel).toEqual({ state: "succeeded", compensated_at: null, outcome: "left" });
  });

  it("is tried again when the human asks for that", async () => {
    let refusals = 0;
    const trip = await stuck({
      onCancel: (tool) => {
        if (tool === "hotel" && refusals++ === 0) throw new Error("no refunds");
      },
      compensateClass: "at_most_once",
    });
    expect((await decide(trip, { decision: "response", args: "they promised" })).status).toBe(202);
    await settledCompensations(trip.runtime, trip.run.thread_id);
    expect(trip.world.log).toEqual([...booked(), ...cancelled()]);
  });

  it("takes one decision; the second decider is told the first, and meanwhile nobody may decide", async () => {
    const go = signal();
    const trip = await stuck({ onCancel: hotelRefuses });
    setFailpoints((name) => (name === "compensation.begun" ? go.given : undefined));
    const answers = await Promise.all([
      decide(trip, { decision: "accept" }),
      decide(trip, { decision: "ignore" }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409]);
    go.give();
    expect(await settledCompensations(trip.runtime, trip.run.thread_id)).toHaveLength(2);
  });

  it("keeps its question open while later runs of the thread come and go", async () => {
    const trip = await stuck({
      onCancel: hotelRefuses,
      last: ({ who }) => (who === undefined ? bug() : undefined),
    });
    const next = await accepted(trip.runtime, {
      threadId: trip.run.thread_id,
      kwargs: { input: { who: "next" }, stream_mode: ["values"] },
    });
    expect(await untilEnded(trip.runtime, next.run_id)).toMatchObject({ status: "success" });
    expect(await rowsOf(trip.runtime, "select status from holdfast.escalations")).toEqual([
      { status: "open" },
    ]);
    expect((await decide(trip, { decision: "accept" })).status).toBe(202);
    await settledCompensations(trip.runtime, trip.run.thread_id);
    expect(trip.world.log.slice(-1)).toEqual(["cancel flight"]);
    expect(await threadOf(trip.runtime)).toEqual({ status: "idle", error: null });
  });

  it("asks when no graph declares the tool any more", async () => {
    let rename: () => Promise<unknown> = async () => undefined;
    const trip = await started({
      last: async () => {
        await rename();
        bug();
      },
    });
    rename = () => rowsOf(trip.runtime, "update holdfast.effects set tool = 'renamed' where tool = 'car'");
    await settledCompensations(trip.runtime, trip.run.thread_id);
    const [question] = await rowsOf(trip.runtime, "select payload from holdfast.escalations");
    expect(JSON.parse(String(question?.payload))[0].description).toContain("how to undo renamed");
    expect(trip.world.log).toEqual(booked());
  });
});

describe("an effect of which nobody knows whether it took place", () => {
  /** The third call, for the car, is cut off at this boundary, and its run has been asked to stop. */
  const losing = (trip: { runtime?: TestRuntime }, boundary: string): void =>
    onceAt(boundary, 3, async () => {
      const runtime = trip.runtime as TestRuntime;
      await rowsOf(
        runtime,
        "update holdfast.runs set cancel_requested = 'interrupt' where status = 'running'",
      );
      await loseLeases(runtime);
      throw new Error("cut off here");
    });

  it.each([
    ["effect.performed", [...booked(), ...cancelled()]],
    ["effect.dispatched", ["book flight", "book hotel", "cancel hotel", "cancel flight"]],
  ])("at %s is looked up before it is undone", async (boundary, expected) => {
    const trip: { runtime?: TestRuntime } = {};
    losing(trip, boundary);
    const { runtime, world, run } = await started({}, trip);
    await settledCompensations(runtime, run.thread_id);
    expect(world.log).toEqual(expected);
  });

  it("and cannot be looked up is put before a human, who can say what came of it", async () => {
    const trip: { runtime?: TestRuntime } = {};
    losing(trip, "effect.performed");
    const made = await started({ lookup: false }, trip);
    await settledCompensations(made.runtime, made.run.thread_id);
    const [question] = await rowsOf(made.runtime, "select * from holdfast.escalations");
    expect(question).toMatchObject({ allowed_decisions: ["accept", "response", "ignore", "edit"] });
    expect(made.world.log).toEqual(booked());
    const edited = { decision: "edit", args: { result: { receipt: "found in the mail" } } };
    expect((await decide({ ...made, question: question ?? {} }, edited)).status).toBe(202);
    await settledCompensations(made.runtime, made.run.thread_id);
    expect(made.world.log).toEqual([...booked(), ...cancelled()]);
  });
});

describe("over HTTP", () => {
  const get = async (runtime: TestRuntime, pathname: string, init: RequestInit = {}) => {
    const app = createApp({ ...runtime, config: testConfig, ready: async () => true });
    return app.request(pathname, init);
  };

  it("the effects of a thread show what was undone, when, and by which row", async () => {
    const { runtime, run } = await started();
    await settledCompensations(runtime, run.thread_id);
    const listed = await (await get(runtime, `/threads/${run.thread_id}/effects`)).json();
    const rows = listed as Record<string, unknown>[];
    const [flight] = rows;
    const undone = rows.find(({ compensates }) => compensates === flight?.effect_id);
    expect(flight).toMatchObject({ tool: "flight", state: "compensated", compensated_by: undone?.effect_id });
    expect(flight?.compensated_at).not.toBeNull();
    expect(undone).toMatchObject({ tool: "compensate:flight", state: "succeeded" });
    expect(rows.map(({ tool }) => tool)).toEqual([
      ...stops,
      ...[...stops].reverse().map((stop) => `compensate:${stop}`),
    ]);
  });

  it("a compensation shows as a run of its thread, is explained, and a cancel of it is refused", async () => {
    const reached = signal();
    const go = signal();
    setFailpoints((name) => {
      if (name !== "compensation.begun") return undefined;
      reached.give();
      return go.given;
    });
    const { runtime, run } = await started();
    await reached.given;
    const base = `/threads/${run.thread_id}`;
    const [shown] = (await (await get(runtime, `${base}/runs`)).json()) as Record<string, unknown>[];
    expect(shown).toMatchObject({ status: "running", metadata: { compensates: run.run_id } });
    expect(await (await get(runtime, `${base}/explain`)).json()).toMatchObject({
      status: "busy",
      doing: expect.stringContaining(`compensating what run ${run.run_id} did`),
    });
    const cancel = await get(runtime, `${base}/runs/${shown?.run_id}/cancel`, { method: "POST" });
    expect(cancel.status).toBe(409);
    const all = await get(runtime, "/runs/cancel", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ thread_id: run.thread_id, status: "all" }),
    });
    expect(all.status).toBe(204);
    go.give();
    expect(await settledCompensations(runtime, run.thread_id)).toMatchObject([{ status: "success" }]);
    const metrics = await runtime.metrics.text();
    expect(metrics).toContain('holdfast_compensations_total{outcome="done"} 1');
  });
});
