import { END, START, StateGraph } from "@langchain/langgraph";
import { afterEach, describe, expect, it } from "vitest";
import { getEscalation } from "../../src/db/queries/escalations.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { one } from "../../src/db/query.ts";
import { effect } from "../../src/effects/effect.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { deleteThread } from "../../src/queue/cancel.ts";
import { decideStuck } from "../../src/queue/decide-stuck.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { discardMany } from "../../src/queue/redrive.ts";
import { pruneOnce } from "../../src/queue/scheduler.ts";
import { expireLeases } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, LogState, rowsOf, runFast, runtimeWith, signal } from "../support/scenario.ts";
import { booked, cancelled, type TripChoices, tripGraph, World } from "../support/trip.ts";
import { until, untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

const bug = (): never => {
  throw new Error("no such city");
};
const noRefunds = (tool: string): void => {
  if (tool === "hotel") throw new Error("no refunds");
};

interface Trip {
  runtime: TestRuntime;
  world: World;
  run: RunRow;
}

/** A trip whose last step goes wrong, on a clock that runs fast. */
async function started(choices: Partial<TripChoices> = {}): Promise<Trip> {
  const world = new World();
  const runtime = await runtimeWith(tripGraph({ world, last: bug, ...choices }));
  runFast(runtime);
  runtime.work({ pollMillis: 20 });
  return { runtime, world, run: await accepted(runtime) };
}

/** The thread's compensations, when there are this many and no run is open any more. */
const compensationsOf = ({ runtime, run }: Trip, count = 1): Promise<RunRow[]> =>
  until(
    runtime.bus,
    async () => {
      const text = "select * from holdfast.runs where thread_id = $1 order by seq";
      const runs = (await rowsOf(runtime, text, run.thread_id)) as unknown as RunRow[];
      const found = runs.filter(({ kind }) => kind === "compensation");
      return runs.every(({ finished_at }) => finished_at !== null) && found.length === count
        ? found
        : undefined;
    },
    "the compensation to end",
  );

async function decide({ runtime }: Trip, type: "accept" | "response"): Promise<RunRow> {
  const [row] = await rowsOf(runtime, "select escalation_id from holdfast.escalations where status = 'open'");
  const escalationId = String(row?.escalation_id);
  const question = one(await getEscalation(runtime.db, { escalationId, tenant: "default" }));
  if (question === undefined) throw new Error("nothing is asked");
  const run = await decideStuck(runtime.db, {
    question,
    response: { type, args: "by phone" },
    principal: "tester",
  });
  runtime.bus.publish("queue", run.thread_id);
  return run;
}

describe("a compensation", () => {
  it("whose workers die again and again is not given up while it undoes one effect after the other", async () => {
    let begun = false;
    let prepared = 0;
    let loseWorker: () => Promise<unknown> = async () => undefined;
    setFailpoints(async (name) => {
      if (name === "compensation.begun") begun = true;
      if (!begun || name !== "effect.prepared") return;
      prepared += 1;
      // The second step of two attempts, then the first of the third.
      if (![2, 4, 5].includes(prepared)) return;
      await loseWorker();
      throw new Error("its worker is gone");
    });
    const go = signal();
    const trip = await started({ last: () => go.given.then(bug) });
    loseWorker = async () => {
      await expireLeases(trip.runtime.db);
      await reapOnce(trip.runtime, { graceSeconds: 0, ignoreRestart: true });
    };
    go.give();
    expect(await compensationsOf(trip)).toMatchObject([{ status: "success" }]);
    expect(trip.world.log).toEqual([...booked(), ...cancelled()]);
  });

  it("that is stuck can be decided about however long ago its dead letter was closed and removed", async () => {
    const trip = await started({
      onCancel: noRefunds,
      last: ({ who }) => (who === undefined ? bug() : undefined),
    });
    const [stuck] = await compensationsOf(trip);
    const next = await accepted(trip.runtime, {
      threadId: trip.run.thread_id,
      kwargs: { input: { who: "next" }, stream_mode: ["values"] },
    });
    await untilEnded(trip.runtime, next.run_id);
    await discardMany(trip.runtime.db, {
      which: {
        ...{ tenant: "default", all: false, graphId: null, code: null, fingerprint: null },
        ...{ since: null, access: null, until: null, runIds: [stuck?.run_id ?? ""] },
      },
      limit: 1,
      reason: "seen",
      dryRun: false,
    });
    trip.runtime.clock.advance(100 * 86_400_000);
    await pruneOnce(trip.runtime, { deadLetterDays: 30 });
    await decide(trip, "accept");
    expect(await compensationsOf(trip, 2)).toMatchObject([{ status: "error" }, { status: "success" }]);
    expect(trip.world.log.at(-1)).toBe("cancel flight");
  });

  it("leaves the error of a later run on the thread when it goes on after that", async () => {
    let refused = false;
    const trip = await started({
      onCancel: (tool) => {
        if (refused) return;
        refused = tool === "hotel";
        noRefunds(tool);
      },
      last: ({ who }) => {
        throw new Error(who === undefined ? "no such city" : "no such guest");
      },
    });
    await compensationsOf(trip);
    await accepted(trip.runtime, {
      threadId: trip.run.thread_id,
      kwargs: { input: { who: "next" }, stream_mode: ["values"] },
    });
    await compensationsOf(trip, 2);
    await decide(trip, "accept");
    expect(await compensationsOf(trip, 3)).toMatchObject([
      { status: "error" },
      { status: "success" },
      { status: "success" },
    ]);
    expect(await rowsOf(trip.runtime, "select status, error from holdfast.threads")).toEqual([
      { status: "error", error: "no such guest" },
    ]);
  });

  it("that is open keeps its thread from being deleted", async () => {
    const reached = signal();
    const go = signal();
    setFailpoints((name) => {
      if (name !== "compensation.begun") return undefined;
      reached.give();
      return go.given;
    });
    const trip = await started();
    await reached.given;
    const thread = { tenant: "default", threadId: trip.run.thread_id };
    await expect(deleteThread(trip.runtime, thread)).rejects.toMatchObject({ name: "Conflict" });
    go.give();
    await compensationsOf(trip);
    expect(trip.world.log).toEqual([...booked(), ...cancelled()]);
    await deleteThread(trip.runtime, thread);
  });
});

describe("an effect with a business key", () => {
  const keyed = (world: World, choices: { last: (n: number) => unknown }) => {
    let runs = 0;
    return new StateGraph(LogState)
      .addNode("book", async () => {
        const booking = await effect(
          {
            name: "book",
            args: { trip: 7 },
            class: "compensatable",
            keyOf: ({ trip }: { trip: number }) => `trip ${trip}`,
            lookup: async (key: string) => world.lookup(key),
            compensate: async (_done: unknown, key: string) => world.act("cancel", key),
          },
          async (key) => world.act("book", key).receipt,
        );
        return { log: [booking] };
      })
      .addNode("last", () => {
        runs += 1;
        choices.last(runs);
        return { log: ["last"] };
      })
      .addEdge(START, "book")
      .addEdge("book", "last")
      .addEdge("last", END)
      .compile();
  };

  it("that was undone is made again by who starts anew, once, and undone again when that dies too", async () => {
    const world = new World();
    const runtime = await runtimeWith(keyed(world, { last: (n) => (n <= 2 ? bug() : undefined) }));
    runFast(runtime);
    runtime.work({ pollMillis: 20 });
    for (const count of [1, 2]) {
      const run = await accepted(runtime);
      await compensationsOf({ runtime, world, run });
      expect(world.log).toEqual(Array(count).fill(["book", "cancel"]).flat());
    }
    for (let n = 0; n < 2; n += 1)
      expect(await untilEnded(runtime, (await accepted(runtime)).run_id)).toMatchObject({
        status: "success",
      });
    expect(world.log).toEqual(["book", "cancel", "book", "cancel", "book"]);
  });
});
