import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { claimFour, claimNext } from "../../src/db/queries/claim.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { releaseRun } from "../../src/db/queries/settle.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { makeRun } from "../support/factory.ts";
import { eventsOf } from "../support/watch.ts";

let test: TestDatabase;
let db: Database;
beforeAll(async () => {
  test = await createTestDatabase();
  db = openDatabase({ url: test.url, connectionsMax: 1 });
});
afterAll(async () => {
  await db.close();
  await test.drop();
});

const claim = (run: RunRow) => ({ workerId: "w", graphIds: [run.graph_id], leaseSeconds: 30 });

describe("a run's first claim", () => {
  it("says in its own statement that the run has begun, with what the attempt's number is", async () => {
    const run = await makeRun(db, "queued");
    await makeRun(db, "queued", { graphId: run.graph_id });
    expect(await eventsOf(db, run.run_id)).toEqual([]);
    const claimed = await claimFour(db, claim(run));
    expect(claimed).toHaveLength(2);
    for (const { run_id } of claimed)
      expect(await eventsOf(db, run_id)).toEqual([
        { seq: 0, event: "metadata", data: { run_id, attempt: 1 }, attempt: 1 },
      ]);
  });

  it("leaves it to the holder to say so again, when the run was given back", async () => {
    const run = await makeRun(db, "running");
    await releaseRun(db, { runId: run.run_id, epoch: run.epoch });
    expect(await claimNext(db, claim(run))).toMatchObject([{ run_id: run.run_id, epoch: run.epoch + 1 }]);
    expect(await eventsOf(db, run.run_id)).toHaveLength(1);
  });

  it("is not held up by an event that is there already", async () => {
    const run = await makeRun(db, "queued");
    const told =
      "insert into holdfast.run_events (run_id, seq, attempt, event, data) values ($1, 0, 0, 'told', '1')";
    await db.query({ text: told, values: [run.run_id] });
    expect(await claimNext(db, claim(run))).toHaveLength(1);
    expect(await eventsOf(db, run.run_id)).toMatchObject([{ event: "told" }]);
  });
});
