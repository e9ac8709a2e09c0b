import { afterEach, describe, expect, it } from "vitest";
import type { Database } from "../../src/db/pool.ts";
import { renewLeases } from "../../src/db/queries/claim.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { DatabaseAway, LeaseLost } from "../../src/domain/errors.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { createRun } from "../../src/queue/create.ts";
import { GroupSettle } from "../../src/queue/group-settle.ts";
import type { Settlement } from "../../src/queue/settle.ts";
import { openForFile } from "../support/database.ts";
import { makeRun, runById, runRequest } from "../support/factory.ts";
import { rowsOf, signal } from "../support/scenario.ts";

afterEach(() => setFailpoints(undefined));

let db: Database;
openForFile((opened) => {
  db = opened;
});

/** A worker whose first transaction waits for `go`, so that what comes meanwhile travels in the second. */
function gated(db: Database) {
  const [underWay, gate] = [signal(), signal()];
  let transactions = 0;
  const seen: Database = {
    ...db,
    async transaction(work) {
      transactions += 1;
      underWay.give();
      if (transactions === 1) await gate.given;
      return db.transaction(work);
    },
  };
  return {
    worker: new GroupSettle(seen),
    underWay: underWay.given,
    go: () => gate.give(),
    count: () => transactions,
  };
}

const running = (db: Database, count: number): Promise<RunRow[]> =>
  Promise.all(Array.from({ length: count }, () => makeRun(db, "running")));

const wentWell = (run: RunRow, more: Partial<Extract<Outcome, { kind: "success" }>> = {}): Settlement => ({
  run,
  outcome: {
    kind: "success",
    view: { values: { of: run.run_id }, interrupts: {}, parked: false },
    questions: [],
    graphVersion: "v1",
    ...more,
  },
  finalEvents: [
    { event: "values", data: JSON.stringify({ of: run.run_id }) },
    { event: "end", data: "null" },
  ],
});

/** Settles the first on its own and all the others together, behind it. */
async function settleBehind(db: Database, settlements: Settlement[]) {
  const { worker, underWay, go, count } = gated(db);
  const settling = settlements.slice(0, 1).map((one) => worker.settle(one));
  await underWay;
  settling.push(...settlements.slice(1).map((one) => worker.settle(one)));
  await new Promise(setImmediate);
  go();
  const ends = await Promise.allSettled(settling);
  return {
    ends: ends.map((end) => (end.status === "rejected" ? end.reason : "settled")),
    queued: ends.map((end) => end.status === "fulfilled" && end.value.queued),
    count,
  };
}

const statusOf = async (db: Database, { run_id }: RunRow): Promise<string | undefined> =>
  (await runById(db, run_id))?.status;

describe("runs that end well while others are being settled", () => {
  it("are settled in one transaction, each with its own output, attempt, events and thread", async () => {
    const runs = await running(db, 4);
    const hits: string[] = [];
    setFailpoints((name) => void hits.push(name));
    const { ends, count } = await settleBehind(
      db,
      runs.map((run) => wentWell(run)),
    );
    expect(ends).toEqual(["settled", "settled", "settled", "settled"]);
    expect(count()).toBe(2);
    for (const name of ["settle.before", "settle.before_commit", "settle.after"])
      expect(hits.filter((hit) => hit === name)).toHaveLength(4);
    for (const run of runs) {
      const output = JSON.stringify({ of: run.run_id });
      expect(await runById(db, run.run_id)).toMatchObject({ status: "success", output, lease_until: null });
      expect(
        await rowsOf({ db }, "select * from holdfast.threads where thread_id = $1", run.thread_id),
      ).toMatchObject([
        { status: "idle", values: output, interrupts: "{}", epoch: run.epoch, graph_version: null },
      ]);
      const attempts = "select * from holdfast.run_attempts where run_id = $1";
      expect(await rowsOf({ db }, attempts, run.run_id)).toMatchObject([
        {
          outcome: "success",
          epoch: run.epoch,
          attempt: 1,
          worker_id: "test-worker",
          started_at: run.claimed_at,
        },
      ]);
      const events = "select seq, event from holdfast.run_events where run_id = $1 order by seq";
      expect(await rowsOf({ db }, events, run.run_id)).toEqual([
        { seq: 0, event: "metadata" },
        { seq: 1, event: "values" },
        { seq: 2, event: "end" },
      ]);
    }
  });

  it("leave their threads waiting where they stopped at a breakpoint", async () => {
    const runs = await running(db, 3);
    const parked = { values: {}, interrupts: {}, parked: true };
    await settleBehind(db, [
      ...runs.slice(0, 2).map((run) => wentWell(run)),
      wentWell(runs[2] as RunRow, { view: parked }),
    ]);
    const status = "select status, graph_version from holdfast.threads where thread_id = $1";
    const shown = await Promise.all(runs.map(({ thread_id }) => rowsOf({ db }, status, thread_id)));
    expect(shown.flat()).toEqual([
      { status: "idle", graph_version: null },
      { status: "idle", graph_version: null },
      { status: "interrupted", graph_version: "v1" },
    ]);
  });

  it("each make way for the run that waits behind it", async () => {
    const runs = await running(db, 3);
    const behind = await Promise.all(
      runs
        .slice(1)
        .map(({ thread_id: threadId, graph_id: graphId }) =>
          createRun(db, runRequest({ threadId, graphId })),
        ),
    );
    const { count, queued } = await settleBehind(
      db,
      runs.map((run) => wentWell(run)),
    );
    expect(count()).toBe(2);
    // Workers are told of those that may be claimed now.
    expect(queued).toEqual([false, true, true]);
    for (const { run } of behind) {
      expect(await runById(db, run.run_id)).toMatchObject({ status: "queued", epoch: 1 });
      const thread = "select status from holdfast.threads where thread_id = $1";
      expect(await rowsOf({ db }, thread, run.thread_id)).toEqual([{ status: "busy" }]);
    }
  });

  it("make moot the questions of their own threads and no others", async () => {
    const runs = await running(db, 4);
    for (const { thread_id } of runs)
      await db.query({
        text: `insert into holdfast.escalations (escalation_id, thread_id, graph_id, node, task_id, ordinal,
                 checkpoint_ns, checkpoint_id, payload, payload_digest, allowed_decisions)
               values (gen_random_uuid(), $1, 'g', 'n', 't', 0, '', 'c', '1', 'd', '[]')`,
        values: [thread_id],
      });
    await settleBehind(
      db,
      runs.slice(0, 3).map((run) => wentWell(run)),
    );
    const status = "select status from holdfast.escalations where thread_id = $1";
    const asked = await Promise.all(runs.map(({ thread_id }) => rowsOf({ db }, status, thread_id)));
    expect(asked.flat().map((row) => row.status)).toEqual(["superseded", "superseded", "superseded", "open"]);
  });
});

describe("of several runs that are settled together", () => {
  it("one whose lease is gone is told so, and costs its neighbours nothing", async () => {
    const runs = await running(db, 4);
    const lost = runs[2] as RunRow;
    await db.query({
      text: "update holdfast.runs set epoch = epoch + 1 where run_id = $1",
      values: [lost.run_id],
    });
    const { ends } = await settleBehind(
      db,
      runs.map((run) => wentWell(run)),
    );
    expect(ends).toEqual(["settled", "settled", expect.any(LeaseLost), "settled"]);
    expect(await Promise.all(runs.map((run) => statusOf(db, run)))).toEqual([
      "success",
      "success",
      "running",
      "success",
    ]);
    const told = await rowsOf({ db }, "select event from holdfast.run_events where run_id = $1", lost.run_id);
    expect(told).toEqual([{ event: "metadata" }]);
  });

  it("one that Postgres refuses fails alone", async () => {
    const runs = await running(db, 4);
    const settlements = runs.map((run) => wentWell(run));
    const bad = settlements[1] as Settlement;
    settlements[1] = { ...bad, finalEvents: [{ event: "values", data: "\u0000" }] };
    const { ends } = await settleBehind(db, settlements);
    expect(ends).toEqual(["settled", expect.objectContaining({ code: "22021" }), "settled", "settled"]);
    expect(await Promise.all(runs.map((run) => statusOf(db, run)))).toEqual([
      "success",
      "running",
      "success",
      "success",
    ]);
  });

  it("one that was to be rolled back meanwhile is", async () => {
    const runs = await running(db, 4);
    await db.query({
      text: "update holdfast.runs set cancel_requested = 'rollback' where run_id = $1",
      values: [runs[3]?.run_id],
    });
    const { ends } = await settleBehind(
      db,
      runs.map((run) => wentWell(run)),
    );
    expect(ends).toEqual(["settled", "settled", "settled", "settled"]);
    expect(await Promise.all(runs.map((run) => statusOf(db, run)))).toEqual([
      "success",
      "success",
      "success",
      undefined,
    ]);
  });

  it.each(["threads where thread_id", "runs where thread_id"])(
    "one whose row in %s somebody holds waits, and the others do not",
    async (place) => {
      const runs = await running(db, 4);
      const held = runs[1] as RunRow;
      const release = signal();
      const holds = signal();
      const holding = db.transaction(async (tx) => {
        await tx.query({
          text: `select 1 from holdfast.${place} = $1 for no key update`,
          values: [held.thread_id],
        });
        holds.give();
        await release.given;
      });
      await holds.given;
      const { worker, go } = gated(db);
      const settling = runs.map((run) => worker.settle(wentWell(run)));
      go();
      await Promise.all(settling.filter((_, n) => n !== 1));
      expect(await statusOf(db, held)).toBe("running");
      release.give();
      await Promise.all([holding, ...settling]);
      expect(await statusOf(db, held)).toBe("success");
    },
  );

  it("all are told when the database is away, and can be settled again", async () => {
    const runs = await running(db, 3);
    let away = true;
    const flaky: Database = {
      ...db,
      async transaction(work) {
        if (away) throw new DatabaseAway("gone");
        return db.transaction(work);
      },
    };
    const worker = new GroupSettle(flaky);
    const settle = () => Promise.allSettled(runs.map((run) => worker.settle(wentWell(run))));
    expect((await settle()).map((end) => end.status === "rejected" && end.reason)).toEqual(
      runs.map(() => expect.any(DatabaseAway)),
    );
    away = false;
    await settle();
    expect(await Promise.all(runs.map((run) => statusOf(db, run)))).toEqual(runs.map(() => "success"));
  });

  it("no more than 64 go together, and none with a large state", async () => {
    const [large, ...runs] = await running(db, 67);
    const values = { text: "x".repeat(250_000) };
    const { ends, count } = await settleBehind(db, [
      ...runs.map((run) => wentWell(run)),
      wentWell(large as RunRow, { view: { values, interrupts: {}, parked: false } }),
    ]);
    expect(ends.filter((end) => end === "settled")).toHaveLength(67);
    // The first, 64, the last, and the large one beside them.
    expect(count()).toBe(4);
  });
});

describe("the locks of runs that are settled together", () => {
  it("lead to no deadlock with heartbeats, creates and the groups of another process", async () => {
    const runs = await running(db, 16);
    const workers = [new GroupSettle(db), new GroupSettle(db)];
    const shuffled = <T>(items: T[]): T[] => [...items].sort(() => Math.random() - 0.5);
    const beats = Array.from({ length: 20 }, () => {
      const some = shuffled(runs);
      return renewLeases(db, {
        runIds: some.map((run) => run.run_id),
        epochs: some.map((run) => run.epoch),
        leaseSeconds: 30,
      });
    });
    const settles = workers.flatMap((worker) =>
      shuffled(runs).map((run) =>
        worker.settle(wentWell(run)).catch((error: unknown) => {
          if (!(error instanceof LeaseLost)) throw error;
        }),
      ),
    );
    const creates = shuffled(runs).map(({ thread_id: threadId, graph_id: graphId }) =>
      createRun(db, runRequest({ threadId, graphId })),
    );
    const [created] = await Promise.all([Promise.all(creates), ...beats, ...settles]);
    expect(await Promise.all(runs.map((run) => statusOf(db, run)))).toEqual(runs.map(() => "success"));
    expect(await Promise.all(created.map(({ run }) => statusOf(db, run)))).toEqual(runs.map(() => "queued"));
  });
});
