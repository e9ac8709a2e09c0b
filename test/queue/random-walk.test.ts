import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBus } from "../../src/db/listen.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { claimNext } from "../../src/db/queries/claim.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { Conflict, LeaseLost, NotFound, ThreadBusy } from "../../src/domain/errors.ts";
import { newId } from "../../src/domain/ids.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { nextStatuses, type RunStatus } from "../../src/domain/run.ts";
import { cancelRun, deleteRun } from "../../src/queue/cancel.ts";
import { createRun } from "../../src/queue/create.ts";
import { GroupSettle } from "../../src/queue/group-settle.ts";
import { promoteHeadless, reapOnce } from "../../src/queue/reaper.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { expireLeases, runRequest } from "../support/factory.ts";

const graphId = "walk";
const view = { values: {}, interrupts: {}, parked: false };
const outcomes: Outcome[] = [
  { kind: "success", view, questions: [], graphVersion: "1" },
  { kind: "retry", delayMs: 0, error: { code: "timeout", name: "E", message: "later" }, charged: true },
  { kind: "dead", status: "error", error: { code: "error", name: "E", message: "bug" } },
  { kind: "cancelled", action: "interrupt" },
  { kind: "cancelled", action: "rollback" },
  { kind: "released" },
];

const deed = fc.oneof(
  fc.record({
    kind: fc.constant("create" as const),
    thread: fc.nat(1),
    strategy: fc.constantFrom(
      "enqueue" as const,
      "reject" as const,
      "interrupt" as const,
      "rollback" as const,
    ),
  }),
  fc.record({ kind: fc.constant("claim" as const) }),
  fc.record({ kind: fc.constant("settle" as const), pick: fc.nat(5), outcome: fc.nat(outcomes.length - 1) }),
  fc.record({
    kind: fc.constant("cancel" as const),
    pick: fc.nat(9),
    action: fc.constantFrom("interrupt" as const, "rollback" as const),
  }),
  fc.record({ kind: fc.constant("delete" as const), pick: fc.nat(9) }),
  fc.record({ kind: fc.constant("crash" as const) }),
);
type Deed = typeof deed extends fc.Arbitrary<infer T> ? T : never;

let test: TestDatabase;
let db: Database;
let deps: { db: Database; bus: ReturnType<typeof openBus> };
let worker: GroupSettle;
beforeAll(async () => {
  test = await createTestDatabase();
  db = openDatabase({ url: test.url, connectionsMax: 8 });
  worker = new GroupSettle(db);
  deps = { db, bus: openBus({ db, listen: false, onError: () => undefined }) };
});
afterAll(async () => {
  await deps.bus.stop();
  await db.close();
  await test.drop();
});

interface World {
  threads: [string, string];
  created: string[];
  claimed: RunRow[];
}

const expected = [Conflict, LeaseLost, NotFound, ThreadBusy];

async function act(world: World, one: Deed): Promise<void> {
  try {
    await perform(world, one);
  } catch (error) {
    if (!expected.some((kind) => error instanceof kind)) throw error;
  }
}

async function perform(world: World, one: Deed): Promise<void> {
  const name = (pick: number) => world.created[pick % Math.max(1, world.created.length)];
  switch (one.kind) {
    case "create": {
      const threadId = world.threads[one.thread as 0 | 1];
      const { run } = await createRun(db, runRequest({ graphId, threadId, multitaskStrategy: one.strategy }));
      world.created.push(run.run_id);
      return;
    }
    case "claim":
      world.claimed.push(...(await claimNext(db, { workerId: "w", graphIds: [graphId], leaseSeconds: 30 })));
      return;
    case "settle": {
      const run = world.claimed[one.pick % Math.max(1, world.claimed.length)];
      if (run !== undefined)
        await worker.settle({ run, outcome: outcomes[one.outcome] as Outcome, finalEvents: [] });
      return;
    }
    case "cancel":
    case "delete": {
      const runId = name(one.pick);
      if (runId === undefined) return;
      const { rows } = await db.query({
        text: "select thread_id from holdfast.runs where run_id = $1",
        values: [runId],
      });
      const told = { tenant: "default", threadId: String(rows[0]?.thread_id ?? newId()), runId };
      if (one.kind === "cancel") await cancelRun(deps, { ...told, action: one.action });
      else await deleteRun(deps, told);
      return;
    }
    case "crash":
      await expireLeases(db);
      await reapOnce(deps, { graceSeconds: 0, ignoreRestart: true });
  }
}

/** Records every move of a run, so that the path of each can be held against the diagram. */
async function watchMoves(): Promise<void> {
  await db.query({
    text: "create table if not exists moves (n bigserial, run_id uuid, before text, after text)",
    values: [],
  });
  await db.query({
    text: `create or replace function record_move() returns trigger language plpgsql as $$ begin
             if old.status is distinct from new.status then insert into moves (run_id, before, after) values (new.run_id, old.status, new.status); end if;
             return new; end $$`,
    values: [],
  });
  await db.query({
    text: "create or replace trigger moves after update on holdfast.runs for each row execute function record_move()",
    values: [],
  });
}

describe("the queue under random deeds of four actors", () => {
  it("keeps one head for each thread, blocks nothing for ever, and moves only along the diagram", async () => {
    await watchMoves();
    const walk = fc.array(deed, { minLength: 20, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(walk, async (deeds) => {
        const world: World = { threads: [newId(), newId()], created: [], claimed: [] };
        for (let n = 0; n < deeds.length; n += 4)
          await Promise.all(deeds.slice(n, n + 4).map((one) => act(world, one)));
        expect(await promoteHeadless(db, { all: true }), "threads left without a head").toBe(0);
        const { rows: moves } = await db.query({
          text: "select distinct before, after from moves",
          values: [],
        });
        for (const { before, after } of moves) expect(nextStatuses[before as RunStatus]).toContain(after);
        const { rows: busy } = await db.query({
          text: `select t.thread_id, t.status, count(r.run_id) as open from holdfast.threads t
                   left join holdfast.runs r on r.thread_id = t.thread_id and r.status in ('queued', 'running', 'blocked')
                  group by 1, 2 having (t.status = 'busy') <> (count(r.run_id) > 0)`,
          values: [],
        });
        expect(busy, "threads whose status does not say whether they work").toEqual([]);
        const { rows: behind } = await db.query({
          text: `select r.run_id from holdfast.runs r join holdfast.threads t using (thread_id)
                  where r.status in ('queued', 'running') and r.epoch < t.epoch`,
          values: [],
        });
        expect(behind, "heads that started from an old epoch").toEqual([]);
        await db.query({ text: "delete from holdfast.threads", values: [] });
      }),
      { numRuns: 60, seed: 20_261_120, endOnFailure: false },
    );
  });
});
