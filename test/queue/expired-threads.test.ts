import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { expiredThreads } from "../../src/db/queries/thread-prune.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { blocksRead, planOf } from "../support/plan.ts";

/** Idle for a day, and to live for a week; four of them for an hour. Each has a run. */
const idle = `
with t as (
  insert into holdfast.threads (thread_id, updated_at, ttl_minutes, keep_latest_minutes)
  select gen_random_uuid(), now() - interval '1 day' - n * interval '1 second',
         case when n % 2 = 0 then minutes end, case when n % 2 = 1 then minutes end
    from generate_series(1, 6000) n, lateral (select case when n % 3000 < 2 then 60 else 7 * 24 * 60 end as minutes) m
  returning thread_id)
insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, multitask_strategy, kwargs, status, available_at, finished_at)
select gen_random_uuid(), thread_id, gen_random_uuid(), 'any', 'enqueue', '{}', 'success', now(), now() from t`;

describe("among many threads that live on, the sweep", () => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    db = openDatabase({ url: test.url, connectionsMax: 1 });
    await db.query({ text: idle, values: [] });
    await db.query({ text: "analyze holdfast.threads, holdfast.runs", values: [] });
  });
  afterAll(async () => {
    await db.close();
    await test.drop();
  });

  it("reads those that are due, and none of the others or of their runs", async () => {
    const plan = await planOf(db, expiredThreads.definition.text, [100]);
    expect(plan).toContain('"Index Name":"threads_ttl"');
    expect(plan).toContain('"Index Name":"threads_keep_latest"');
    expect(blocksRead(plan)).toBeLessThan(60);
  });

  it("finds those that are longest past their time first", async () => {
    const strategies = (await expiredThreads(db, { limit: 100 })).map(({ strategy }) => strategy);
    expect(strategies.toSorted()).toEqual(["delete", "delete", "keep_latest", "keep_latest"]);
    const [first] = await expiredThreads(db, { limit: 1 });
    const { rows } = await db.query({
      text: `select thread_id from holdfast.threads where coalesce(ttl_minutes, keep_latest_minutes) = 60
              order by updated_at limit 1`,
      values: [],
    });
    expect(rows).toEqual([{ thread_id: first?.threadId }]);
  });
});
