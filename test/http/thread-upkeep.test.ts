import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { listen } from "../../src/http/listen.ts";
import { createInTransaction } from "../../src/queue/create.ts";
import { pruneOnce } from "../../src/queue/scheduler.ts";
import { senderOf } from "../support/dead-letters.ts";
import { makeRun, runRequest } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";

let runtime: TestRuntime;
let server: Awaited<ReturnType<typeof listen>>;
let client: Client;
let send: ReturnType<typeof senderOf>["send"];

beforeAll(async () => {
  runtime = await startRuntime();
  runtime.work();
  const sender = senderOf(runtime);
  send = sender.send;
  server = await listen({ app: sender.app, host: "127.0.0.1", port: 0 });
  client = new Client({ apiUrl: server.url, callerOptions: { maxRetries: 0 } });
});
afterAll(async () => {
  await server.stop();
  await runtime.close();
});

async function sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return (await runtime.db.query({ text, values })).rows;
}
async function finished(graphId = "steps"): Promise<string> {
  const { thread_id } = await client.threads.create();
  await client.runs.wait(thread_id, graphId, { input: {} });
  return thread_id;
}
async function stored(threadId: string): Promise<Record<string, number>> {
  const counts = ["checkpoints", "checkpoint_blobs", "checkpoint_writes"].map(
    (table) => `(select count(*) from public.${table} where thread_id = $1) as ${table}`,
  );
  const [row] = await sql(`select ${counts.join(", ")}`, [threadId]);
  return row as Record<string, number>;
}

describe("pruning threads", () => {
  it("deletes those that are idle, and leaves unknown ones and those with open runs alone", async () => {
    const [gone, busy] = [await finished(), await finished()];
    await makeRun(runtime.db, "queued", { threadId: busy });
    const answer = await client.threads.prune([gone, busy, crypto.randomUUID(), gone]);
    expect(answer).toEqual({ pruned_count: 1 });
    await expect(client.threads.get(gone)).rejects.toThrow("404");
    expect(await stored(gone)).toEqual({ checkpoints: 0, checkpoint_blobs: 0, checkpoint_writes: 0 });
    expect((await client.threads.get(busy)).thread_id).toBe(busy);
  });

  it("keeps the latest state with keep_latest, and the thread goes on from it", async () => {
    const id = await finished();
    const before = await client.threads.getState(id);
    expect(await client.threads.prune([id], { strategy: "keep_latest" })).toEqual({ pruned_count: 1 });
    const after = await client.threads.getState(id);
    expect(after.values).toEqual(before.values);
    expect(after.checkpoint).toEqual(before.checkpoint);
    expect(await client.threads.getHistory(id)).toHaveLength(1);
    const left = await stored(id);
    expect(left).toMatchObject({ checkpoints: 1, checkpoint_writes: 0 });
    const done = await client.runs.wait(id, "steps", { input: {} });
    expect(done).toEqual({ log: ["a", "b", "c", "a", "b", "c"] });
  });

  it("keeps what a parked thread needs for its answer, in subgraphs as well", async () => {
    for (const [graph, answers, end] of [
      ["approval", ["yes"], "gate:yes"],
      ["nested", ["x", "y"], "ask:x,y"],
    ] as const) {
      const id = await finished(graph);
      for (const [n, resume] of answers.entries()) {
        expect(await client.threads.prune([id], { strategy: "keep_latest" })).toEqual({ pruned_count: 1 });
        const done = (await client.runs.wait(id, graph, { command: { resume } })) as { log: string[] };
        if (n === answers.length - 1) expect(done.log, graph).toContain(end);
      }
    }
  });

  it("keeps the history of a dead letter that nobody has handled, for its redrive", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "failing", { input: { fail: "boom" }, raiseError: false });
    const before = await stored(thread_id);
    expect(await client.threads.prune([thread_id], { strategy: "keep_latest" })).toEqual({ pruned_count: 0 });
    expect(await stored(thread_id)).toEqual(before);
  });

  it("never reaches another tenant's threads, and names the field that is wrong", async () => {
    const theirs = await finished();
    await sql("update holdfast.threads set tenant = 'other' where thread_id = $1", [theirs]);
    for (const strategy of ["delete", "keep_latest"] as const) {
      expect(await client.threads.prune([theirs], { strategy })).toEqual({ pruned_count: 0 });
    }
    expect(await stored(theirs)).toMatchObject({ checkpoints: 5 });
    for (const body of [{}, { thread_ids: ["x"] }, { thread_ids: [theirs], strategy: "all" }]) {
      expect(await send("POST", "/threads/prune", body), JSON.stringify(body)).toMatchObject({ status: 422 });
    }
  });
});

describe("a thread's time to live", () => {
  const hours = (n: number): string => `${n} hours`;
  const age = (id: string, by: string) =>
    sql("update holdfast.threads set updated_at = updated_at - $2::interval where thread_id = $1", [id, by]);

  it("deletes it when it has been idle for so long, and not before", async () => {
    const { thread_id } = await client.threads.create({ ttl: 60 });
    const asked = await client.threads.get(thread_id, { include: ["ttl"] });
    expect(asked).toMatchObject({ ttl: { strategy: "delete", ttl_minutes: 60 } });
    await pruneOnce(runtime);
    expect((await client.threads.get(thread_id)).thread_id).toBe(thread_id);
    await age(thread_id, hours(2));
    await pruneOnce(runtime);
    await expect(client.threads.get(thread_id)).rejects.toThrow("404");
  });

  it("is set and removed by a patch, and starts anew with every change", async () => {
    const { thread_id } = await client.threads.create();
    await client.threads.update(thread_id, { ttl: { ttl: 60, strategy: "delete" } });
    await age(thread_id, hours(2));
    await client.threads.update(thread_id, { metadata: { seen: true } });
    await pruneOnce(runtime);
    expect(await client.threads.get(thread_id, { include: ["ttl"] })).toMatchObject({
      ttl: { ttl_minutes: 60 },
    });
    await send("PATCH", `/threads/${thread_id}`, { ttl: null });
    await age(thread_id, hours(2));
    await pruneOnce(runtime);
    expect(await client.threads.get(thread_id, { include: ["ttl"] })).toMatchObject({ ttl: null });
  });

  it("takes all but its latest state where it says so, once for each time it is idle", async () => {
    const id = await finished();
    await client.threads.update(id, { ttl: { ttl: 60, strategy: "keep_latest" as "delete" } });
    expect(await client.threads.get(id, { include: ["ttl"] })).toMatchObject({
      ttl: { strategy: "keep_latest", ttl_minutes: 60 },
    });
    // A process of an older version deletes what has minutes there.
    expect(await sql("select ttl_minutes from holdfast.threads where thread_id = $1", [id])).toEqual([
      { ttl_minutes: null },
    ]);
    const { values } = await client.threads.getState(id);
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 0 });
    expect(await stored(id)).toMatchObject({ checkpoints: 5 });
    await age(id, hours(2));
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 1 });
    expect(await stored(id)).toMatchObject({ checkpoints: 1 });
    expect(await client.threads.getState(id)).toMatchObject({ values });
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 0 });
    await client.threads.updateState(id, { values: {} });
    await age(id, hours(2));
    await sql("update holdfast.threads set pruned_at = pruned_at - interval '3 hours' where thread_id = $1", [
      id,
    ]);
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 1 });
  });

  it("never takes a thread with an open run, an unhandled dead letter or an effect nobody knows the end of", async () => {
    const [busy, dead, unclear] = [await finished(), await finished(), await finished()];
    await makeRun(runtime.db, "queued", { threadId: busy });
    await client.runs.wait(dead, "failing", { input: { fail: "boom" }, raiseError: false });
    await sql(
      `insert into holdfast.effects (effect_id, thread_id, task_id, ordinal, tool, key, args_digest, args, state, epoch)
       values (gen_random_uuid(), $1, 't', 0, 'pay', 'k', 'd', '{}', 'unknown', 1)`,
      [unclear],
    );
    const kept = [busy, dead, unclear];
    for (const id of kept) {
      await client.threads.update(id, { ttl: 1 });
      await age(id, hours(1));
    }
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 0 });
    await sql("delete from holdfast.runs where thread_id = $1", [busy]);
    await sql("update holdfast.runs set discarded_at = holdfast.now() where thread_id = $1", [dead]);
    await sql("update holdfast.effects set state = 'reconciled_done' where thread_id = $1", [unclear]);
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 3 });
  });

  it("leaves a thread alone that got a run while the sweep waited for its lock", async () => {
    const { thread_id } = await client.threads.create({ ttl: 1 });
    await age(thread_id, hours(1));
    let sweep: ReturnType<typeof pruneOnce> | undefined;
    await runtime.db.transaction(async (tx) => {
      await createInTransaction(tx, runRequest({ threadId: thread_id, graphId: "nobody", afterSeconds: 60 }));
      sweep = pruneOnce(runtime);
      await vi.waitFor(async () => {
        const waiting = await sql(
          "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%thread.lock%'",
        );
        expect(waiting).toHaveLength(1);
      });
    });
    expect(await sweep).toMatchObject({ swept: 0 });
    expect((await client.threads.get(thread_id)).status).toBe("busy");
  });

  it("takes all threads that are due, page by page", async () => {
    await sql(
      `insert into holdfast.threads (thread_id, ttl_minutes, updated_at)
       select gen_random_uuid(), 1, holdfast.now() - n * interval '1 hour' from generate_series(1, 120) n`,
    );
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 120 });
    expect(await pruneOnce(runtime)).toMatchObject({ swept: 0 });
  });

  it("is a positive number of minutes, to delete", async () => {
    for (const ttl of [0, -1, "60", { ttl: 5, strategy: "archive" }, {}]) {
      const refused = await send("POST", "/threads", { ttl });
      expect(refused, JSON.stringify(ttl)).toMatchObject({ status: 422 });
      expect(refused.text).toContain("ttl");
    }
  });
});

describe("a thread with supersteps", () => {
  it("has their states from its start, one checkpoint each, and goes on from the last", async () => {
    const thread = await client.threads.create({
      graphId: "steps",
      supersteps: [
        { updates: [{ values: { log: ["in"] }, asNode: "__start__" }] },
        { updates: [{ values: { log: ["from afar"] }, asNode: "a" }] },
      ],
    });
    expect(thread).toMatchObject({ status: "interrupted", values: { log: ["in", "from afar"] } });
    const history = await client.threads.getHistory(thread.thread_id);
    expect(history.map(({ next }) => next)).toEqual([["b"], ["a"]]);
    const done = await client.runs.wait(thread.thread_id, "steps", { input: null });
    expect(done).toEqual({ log: ["in", "from afar", "b", "c"] });
  });

  it("follows the commands that its updates carry", async () => {
    const thread = await client.threads.create({
      graphId: "steps",
      supersteps: [
        { updates: [{ values: { log: ["in"] }, asNode: "__start__" }] },
        { updates: [{ values: null, command: { update: { log: ["jump"] }, goto: "c" }, asNode: "a" }] },
      ],
    });
    expect((await client.threads.getState(thread.thread_id)).next).toContain("c");
  });

  it("is not made when one of them is refused, and not changed when it exists", async () => {
    const thread_id = crypto.randomUUID();
    const metadata = { graph_id: "steps" };
    const good = { updates: [{ values: { log: ["in"] }, as_node: "a" }] };
    const bad = { updates: [{ values: { log: ["in"] }, as_node: "nobody" }] };
    const make = (body: object) => send("POST", "/threads", { thread_id, ...body });
    for (const [body, status] of [
      [{ metadata, supersteps: [good, bad] }, 422],
      [{ metadata, supersteps: [{ updates: [] }] }, 422],
      [{ metadata, supersteps: [{ updates: [{ ...good.updates[0], command: { resume: 1 } }] }] }, 422],
      [{ supersteps: [good] }, 400],
      [{ metadata: { graph_id: "unknown" }, supersteps: [good] }, 404],
    ] as const) {
      expect(await make(body), JSON.stringify(body)).toMatchObject({ status });
      expect((await send("GET", `/threads/${thread_id}`)).status).toBe(404);
    }
    expect(await make({ metadata, supersteps: [good] })).toMatchObject({ status: 200 });
    const again = await make({ metadata, supersteps: [good], if_exists: "do_nothing" });
    expect(again.json.values).toEqual({ log: ["in"] });
    expect(await make({ metadata, supersteps: [good] })).toMatchObject({ status: 409 });
  });
});

describe("searching threads", () => {
  it("finds by ids and values, sorts by when the state was written, selects and extracts", async () => {
    const [first, second] = [await finished(), await finished("approval")];
    await client.threads.update(first, { metadata: { touched: true } });
    const search = { ids: [first, second], sortBy: "state_updated_at" as const };
    const found = await client.threads.search(search);
    expect(found.map(({ thread_id }) => thread_id)).toEqual([second, first]);
    const oldest = await client.threads.search({ ...search, sortOrder: "asc", limit: 1 });
    expect(oldest[0]).toMatchObject({ thread_id: first, state_updated_at: expect.any(String) });
    expect(await client.threads.search({ ...search, values: { log: ["draft"] } })).toHaveLength(1);
    const shown = await client.threads.search({
      ...search,
      select: ["status"],
      extract: { last: "values.log[-1]", graph: "metadata.graph_id", nothing: "values.__proto__.x" },
    });
    expect(shown).toEqual([
      {
        thread_id: second,
        status: "interrupted",
        extracted: { last: "draft", graph: "approval", nothing: null },
      },
      { thread_id: first, status: "idle", extracted: { last: "c", graph: "steps", nothing: null } },
    ]);
  });

  it("refuses paths that lead out of a thread, and too many of them", async () => {
    const many = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`a${n}`, "values"]));
    for (const extract of [{ a: "tenant" }, { a: "values..b" }, { a: "values[x]" }, { a: "" }, many]) {
      const refused = await send("POST", "/threads/search", { extract });
      expect(refused, JSON.stringify(extract)).toMatchObject({ status: 422 });
      expect(refused.text).toContain("extract");
    }
  });
});

describe("the metadata of a thread's state", () => {
  it("is the thread's, and is merged", async () => {
    const { thread_id } = await client.threads.create({ metadata: { a: 1 } });
    await client.threads.patchState(thread_id, { b: 2 });
    expect((await client.threads.get(thread_id)).metadata).toMatchObject({ a: 1, b: 2 });
    expect((await send("PATCH", `/threads/${crypto.randomUUID()}/state`, { metadata: {} })).status).toBe(404);
    expect((await send("PATCH", `/threads/${thread_id}/state`, {})).status).toBe(422);
  });
});

describe("history", () => {
  it("narrows by metadata, namespace and the point before which it is asked for", async () => {
    const id = await finished("nested");
    const all = await client.threads.getHistory(id);
    const loops = await client.threads.getHistory(id, { metadata: { source: "loop" } });
    expect(loops).toHaveLength(all.length - 1);
    const before = { configurable: { checkpoint_id: all[0]?.checkpoint.checkpoint_id } };
    expect(await client.threads.getHistory(id, { before: before as never })).toEqual(all.slice(1));
    const { tasks } = await client.threads.getState(id);
    const checkpoint_ns = String(tasks[0]?.checkpoint?.checkpoint_ns);
    const below = await client.threads.getHistory(id, { checkpoint: { checkpoint_ns } });
    expect(below.length).toBeGreaterThan(0);
    expect(below.every((state) => state.checkpoint.checkpoint_ns === checkpoint_ns)).toBe(true);
  });
});
