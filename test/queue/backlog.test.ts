import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { claimNext, nextDue } from "../../src/db/queries/claim.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { blocksRead, planOf } from "../support/plan.ts";

const graphIds = ["busy"];

/** Runs as the queue leaves them: finished, behind a head that runs, and delayed. */
const backlog = `
with t as (insert into holdfast.threads (thread_id) select gen_random_uuid() from generate_series(1, 3000) returning thread_id),
     n as (select thread_id, row_number() over () as n from t)
insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, multitask_strategy, kwargs, status, available_at, delayed, finished_at)
select gen_random_uuid(), thread_id, gen_random_uuid(), 'busy', 'enqueue', '{}',
       case when n % 3 = 0 then 'success' else 'blocked' end,
       now() + case when n % 3 = 1 then interval '1 hour' else interval '-1 hour' end, n % 3 = 1,
       case when n % 3 = 0 then now() end
  from n, generate_series(1, 5)`;

const queued = `
with t as (insert into holdfast.threads (thread_id) select gen_random_uuid() from generate_series(1, 3000) returning thread_id)
insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, multitask_strategy, kwargs, status, available_at)
select gen_random_uuid(), thread_id, gen_random_uuid(), 'busy', 'enqueue', '{}', 'queued', now() - interval '1 minute' from t`;

describe("with a backlog of finished, blocked and delayed runs", () => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    db = openDatabase({ url: test.url, connectionsMax: 1 });
    await db.query({ text: backlog, values: [] });
    await db.query({ text: "analyze holdfast.runs", values: [] });
  });
  afterAll(async () => {
    await db.close();
    await test.drop();
  });

  it("a claim reads the index of the queue, and none of the runs that it cannot have", async () => {
    const plan = await planOf(db, claimNext.definition.text, ["worker", graphIds, 30]);
    expect(plan).toContain('"Index Name":"runs_queue"');
    expect(plan).not.toContain(
      '"Node Type":"Seq Scan","Parent Relationship":"Outer","Parallel Aware":false,"Async Capable":false,"Relation Name":"runs"',
    );
    expect(blocksRead(plan)).toBeLessThan(50);
  });

  it("a claim looks at one run of many that wait, also while the statistics know of none of them", async () => {
    await db.query({ text: queued, values: [] });
    const plan = await planOf(db, claimNext.definition.text, ["worker", graphIds, 30]);
    expect(blocksRead(plan)).toBeLessThan(50);
  });

  it("so does the look for the next due run", async () => {
    const plan = await planOf(db, nextDue.definition.text, [graphIds, 1_000]);
    expect(plan).toMatch(/"Index Name":"runs_queue"/);
    expect(blocksRead(plan)).toBeLessThan(50);
  });
});
