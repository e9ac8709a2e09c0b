import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { afterEach, describe, expect, it } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { makeThread } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { accepted, answering, rowsOf, runFast, runtimeWith, signal } from "../support/scenario.ts";
import { booked, cancelled, stops, tripGraph, World } from "../support/trip.ts";
import { until, untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

async function runsOf(runtime: TestRuntime, threadId: string): Promise<RunRow[]> {
  const rows = await rowsOf(
    runtime,
    "select * from holdfast.runs where thread_id = $1 order by seq",
    threadId,
  );
  return rows as unknown as RunRow[];
}

/** The thread's runs when none of them is open any more. */
const atRest = (runtime: TestRuntime, threadId: string, after = "its runs"): Promise<RunRow[]> =>
  until(
    runtime.bus,
    async () => {
      const runs = await runsOf(runtime, threadId);
      return runs.every(({ finished_at }) => finished_at !== null) ? runs : undefined;
    },
    `the thread to rest after ${after}`,
  );

describe("a run that is stopped", () => {
  const deeds = ["interrupt", "rollback", "new interrupt", "new rollback", "new enqueue"] as const;
  type Deed = (typeof deeds)[number];

  /** Stops the run, or sends another one after it. */
  async function act(runtime: TestRuntime, run: RunRow, deed: Deed): Promise<void> {
    const { thread_id: threadId, run_id: runId } = run;
    if (deed === "interrupt" || deed === "rollback") {
      await cancelRun(runtime, { tenant: "default", threadId, runId, action: deed });
      return;
    }
    await accepted(runtime, {
      threadId,
      multitaskStrategy: deed.slice("new ".length) as "interrupt" | "rollback" | "enqueue",
      kwargs: { input: { who: "next" }, stream_mode: ["values"] },
    });
    runtime.bus.publish("cancel", runId);
  }

  /** The boundaries of one whole trip, in the order in which they were reached. */
  async function boundaries(runtime: TestRuntime): Promise<string[]> {
    const reached: string[] = [];
    const hits = new Map<string, number>();
    setFailpoints((name) => {
      const nth = (hits.get(name) ?? 0) + 1;
      hits.set(name, nth);
      reached.push(`${name}#${nth}`);
    });
    const run = await accepted(runtime);
    await untilEnded(runtime, run.run_id);
    await until(
      runtime.bus,
      async () => (reached.at(-1)?.startsWith("settle.after") ? true : undefined),
      "its end",
    );
    setFailpoints(undefined);
    return reached;
  }

  /** One trip; the deed is done when it reaches the boundary. Transactions under way hold the thread's lock: there the
   * deed is begun, and goes on when they let go. */
  async function trip(runtime: TestRuntime, boundary: string, deed: Deed): Promise<RunRow[]> {
    const [name, nth] = boundary.split("#");
    const locked = boundary.includes("before_commit");
    const { thread_id: threadId } = await makeThread(runtime.db);
    let hits = 0;
    let done: Promise<void> | undefined;
    setFailpoints(async (hit) => {
      if (hit !== name || ++hits !== Number(nth)) return;
      const [run] = await runsOf(runtime, threadId);
      if (run === undefined) return;
      done = act(runtime, run, deed);
      if (!locked) await done;
    });
    const run = await accepted(runtime, { threadId });
    if (name === "run.before_commit") done = act(runtime, run, deed);
    await until(
      runtime.bus,
      async () => (done === undefined ? undefined : true),
      `${boundary} to be reached`,
    );
    await done;
    return atRest(runtime, threadId, boundary);
  }

  function judge(runs: RunRow[], world: World, deed: Deed, what: string): void {
    const next = deed.startsWith("new") ? booked(" of next") : [];
    const own = world.log.slice(0, world.log.length - next.length);
    expect(world.log.slice(own.length), `${what}: the next run comes after everything`).toEqual(next);
    const [first, ...rest] = runs;
    const compensations = runs.filter(({ kind }) => kind === "compensation");
    const finished =
      first?.kind === "graph" && first.status === "success" && first.kwargs.input !== undefined;
    const ran = finished && (first.kwargs.input as { who?: string }).who === undefined;
    if (ran) {
      expect(own, `${what}: it finished`).toEqual(booked());
      expect(compensations, `${what}: what succeeded is not undone`).toEqual([]);
      return;
    }
    const taken = own.filter((one) => one.startsWith("book"));
    expect(taken, `${what}: booked in order, each once`).toEqual(booked().slice(0, taken.length));
    const undone = cancelled().slice(stops.length - taken.length);
    expect(own.slice(taken.length), `${what}: undone in reverse, each once`).toEqual(undone);
    // Without a booking there may be one: of a call that was cut off just before it was made, and looked up.
    expect(compensations.length, `${what}: one compensation`).toBeLessThanOrEqual(1);
    if (taken.length > 0) expect(compensations.length, `${what}: one compensation`).toBe(1);
    expect(
      compensations.every(({ status }) => status === "success"),
      what,
    ).toBe(true);
    expect(rest.filter(({ status }) => status === "error")).toEqual([]);
  }

  it.each(deeds)(
    "by %s, at any boundary, ends once, and what it did is undone once, in reverse",
    async (deed) => {
      const world = new World();
      const runtime = await runtimeWith(tripGraph({ world }));
      // A call that was cut off is looked up for a minute; leases last longer than the test.
      runFast(runtime);
      const { worker } = runtime.work({ pollMillis: 20 });
      // The last boundary of a trip is behind what others see of its end: without the wait the next trip would count it.
      const idle = async () => (worker.activeRuns === 0 ? true : undefined);
      const reached = await boundaries(runtime);
      expect(reached.length).toBeGreaterThan(20);
      for (const boundary of reached) {
        world.log.length = 0;
        const runs = await trip(runtime, boundary, deed);
        await until(runtime.bus, idle, `the worker to rest after ${boundary}`);
        judge(runs, world, deed, `${deed} at ${boundary}`);
      }
      expect(
        await rowsOf(runtime, "select * from holdfast.threads where status in ('busy', 'error')"),
      ).toEqual([]);
      expect(
        await rowsOf(
          runtime,
          "select run_id from holdfast.run_attempts where outcome in ('success', 'dead', 'cancelled', 'compensated') group by 1 having count(*) > 1",
        ),
      ).toEqual([]);
    },
    300_000,
  );

  it("while it waits for its next attempt is compensated all the same", async () => {
    const world = new World();
    const runtime = await runtimeWith(
      tripGraph({
        world,
        last: () => {
          throw new Transient("come back later");
        },
      }),
    );
    runtime.work();
    const run = await accepted(runtime);
    await until(
      runtime.bus,
      async () =>
        (await runsOf(runtime, run.thread_id)).find(
          ({ failures, status }) => failures > 0 && status === "queued",
        ),
      "the run to wait",
    );
    await act(runtime, run, "rollback");
    const runs = await atRest(runtime, run.thread_id);
    expect(runs).toMatchObject([{ kind: "compensation", status: "success", compensates: run.run_id }]);
    expect(world.log).toEqual([...booked(), ...cancelled()]);
  });
});

describe("a run that went on from an approval", () => {
  const State = Annotation.Root({
    log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  });
  const act = (world: World, name: string) => () =>
    effect(
      {
        name,
        args: null,
        class: "compensatable",
        compensate: async (_done, key) => world.act(`cancel ${name}`, key),
      },
      async (key) => world.act(`book ${name}`, key),
    ).then(() => ({ log: [name] }));

  function approved(world: World, last: () => unknown) {
    return new StateGraph(State)
      .addNode("ferry", act(world, "ferry"))
      .addNode("gate", () => ({ log: [`gate:${interrupt("ok?")}`] }))
      .addNode("cabin", act(world, "cabin"))
      .addNode("last", async () => ({ log: [String(await last())] }))
      .addEdge(START, "ferry")
      .addEdge("ferry", "gate")
      .addEdge("gate", "cabin")
      .addEdge("cabin", "last")
      .addEdge("last", END)
      .compile();
  }

  it("takes what was done before the question along when it dies", async () => {
    const world = new World();
    const runtime = await runtimeWith(
      approved(world, () => {
        throw new Error("no such city");
      }),
    );
    runtime.work();
    const { thread_id: threadId } = await accepted(runtime).then((run) => untilEnded(runtime, run.run_id));
    await untilEnded(runtime, (await accepted(runtime, { threadId, kwargs: answering("yes") })).run_id);
    await atRest(runtime, threadId);
    expect(world.log).toEqual(["book ferry", "book cabin", "cancel cabin", "cancel ferry"]);
  });

  it("gives its question back when it is rolled back, and only its own effects are undone", async () => {
    const world = new World();
    const reached = signal();
    const go = signal();
    const runtime = await runtimeWith(
      approved(world, () => {
        reached.give();
        return go.given;
      }),
    );
    runtime.work();
    const { thread_id: threadId } = await accepted(runtime).then((run) => untilEnded(runtime, run.run_id));
    const resume = await accepted(runtime, { threadId, kwargs: answering("yes") });
    await reached.given;
    const name = { tenant: "default", threadId, runId: resume.run_id };
    await cancelRun(runtime, { ...name, action: "rollback" });
    const runs = await atRest(runtime, threadId);
    go.give();
    expect(runs.map(({ kind }) => kind)).toEqual(["graph", "compensation"]);
    expect(world.log).toEqual(["book ferry", "book cabin", "cancel cabin"]);
    expect(await rowsOf(runtime, "select status from holdfast.escalations")).toEqual([{ status: "open" }]);
    expect(await rowsOf(runtime, "select status from holdfast.threads")).toEqual([{ status: "interrupted" }]);
  });
});
