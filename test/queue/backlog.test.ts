import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { claimNext, nextDue } from "../../src/db/queries/claim.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

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

  /** The plan of a statement, run once inside a transaction that is given up. */
  async function planOf(text: string, values: unknown[]): Promise<string> {
    const { rows } = await db.query({ text: `explain (analyze, buffers, format json) ${text}`, values });
    return JSON.stringify(rows[0]?.["QUERY PLAN"]);
  }

  it("a claim reads the index of the queue, and none of the runs that it cannot have", async () => {
    const plan = await planOf(claimNext.definition.text, ["worker", graphIds, 30]);
    expect(plan).toContain('"Index Name":"runs_queue"');
    expect(plan).not.toContain(
      '"Node Type":"Seq Scan","Parent Relationship":"Outer","Parallel Aware":false,"Async Capable":false,"Relation Name":"runs"',
    );
    expect(readBlocks(plan)).toBeLessThan(50);
  });

  it("a claim looks at one run of many that wait, also while the statistics know of none of them", async () => {
    await db.query({ text: queued, values: [] });
    const plan = await planOf(claimNext.definition.text, ["worker", graphIds, 30]);
    expect(readBlocks(plan)).toBeLessThan(50);
  });

  it("so does the look for the next due run", async () => {
    const plan = await planOf(nextDue.definition.text, [graphIds]);
    expect(plan).toMatch(/"Index Name":"runs_queue"/);
    expect(readBlocks(plan)).toBeLessThan(50);
  });
});

/** Pages that the whole statement looked at. */
function readBlocks(plan: string): number {
  const [top] = JSON.parse(plan) as { Plan: { "Shared Hit Blocks": number; "Shared Read Blocks": number } }[];
  if (top === undefined) throw new Error("there is no plan");
  return top.Plan["Shared Hit Blocks"] + top.Plan["Shared Read Blocks"];
}
