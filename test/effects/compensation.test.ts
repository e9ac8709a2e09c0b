import { afterEach, describe, expect, it } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { cancelRun, deleteRun } from "../../src/queue/cancel.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import type { Worker } from "../../src/worker/worker.ts";
import { expireLeases } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, rowsOf, runtimeWith, signal } from "../support/scenario.ts";
import { booked, cancelled, type TripChoices, tripGraph, World } from "../support/trip.ts";
import { eventsOf, until, untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

interface Trip {
  runtime: TestRuntime;
  world: World;
  run: RunRow;
  worker: Worker;
}

const bug = (): never => {
  throw new Error("no such city");
};

/** A trip whose last step goes wrong, worked on by one worker, with time running fast. */
async function started(choices: Partial<TripChoices> = {}): Promise<Trip> {
  const world = choices.world ?? new World();
  const runtime = await runtimeWith(tripGraph({ world, last: bug, ...choices }));
  runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
  const forward = setInterval(() => runtime.clock.advance(1_000), 20);
  const { close } = runtime;
  runtime.close = () => {
    clearInterval(forward);
    return close();
  };
  // Longer than a test lasts by its fast clock: leases end here when a test says so.
  const { worker } = runtime.work({ pollMillis: 20, leaseSeconds: 100_000 });
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
  rowsOf(runtime, "select tool, state from holdfast.effects where compensates is null order by prepared_at");

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
      redriveRun(runtime, { tenant: "default", runId: run.run_id, principal: "tester" }),
    ).rejects.toMatchObject({ name: "Conflict", message: expect.stringContaining("compensated") });
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
