import { once } from "node:events";
import { END, START, StateGraph } from "@langchain/langgraph";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { GroupCommit } from "../../src/checkpoint/group-commit.ts";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import { readEvents } from "../../src/db/queries/events.ts";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { getThread, searchThreads } from "../../src/db/queries/threads.ts";
import { deliveryContent } from "../../src/db/queries/webhooks.ts";
import { Transient } from "../../src/domain/errors.ts";
import { newId } from "../../src/domain/ids.ts";
import { copyThread } from "../../src/engine/copy-thread.ts";
import { updateState } from "../../src/engine/state-update.ts";
import { cancelRun, deleteThread } from "../../src/queue/cancel.ts";
import { pruneThreads } from "../../src/queue/prune-threads.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { makeRun, runById } from "../support/factory.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted, LogState, rowsOf, signal } from "../support/scenario.ts";
import { eventsOf, until, untilEnded } from "../support/watch.ts";

const tenant = "default";
/** Characters of one, two, three and four bytes. */
const entry = (n: number): string => `${n}: é€💬"\\ `.padEnd(700, `word ${n * 7_919} é `);
const entries = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, n) => entry(from + n));

/** With one that jsonb refuses. */
const answer = (length: number): string => `answer\u0000 ${length}`;
/** What the node does before it answers, where a test says so. */
let before: (signal: AbortSignal | undefined) => unknown = () => undefined;
const graph = new StateGraph(LogState)
  .addNode("prepare", () => ({}))
  .addNode("answer", async ({ log }, { signal }) => {
    await before(signal);
    return { log: [answer(log.length)] };
  })
  .addEdge(START, "prepare")
  .addEdge("prepare", "answer")
  .addEdge("answer", END);

let runtime: TestRuntime;
beforeAll(async () => {
  runtime = await startRuntime({ registry: await registryOf("any", graph.compile()) });
  runtime.work();
});
afterAll(() => runtime.close());
afterEach(() => {
  before = () => undefined;
});

async function turn(threadId: string, log: string[], kwargs = {}): Promise<RunWithOutput> {
  const asked: Partial<CreateRun> = {
    threadId,
    kwargs: { input: { log }, stream_mode: ["values"], ...kwargs },
  };
  const run = await accepted(runtime, asked);
  return untilEnded(runtime, run.run_id);
}

/** A thread of long texts, and what its log is then. */
async function longThread(): Promise<{ threadId: string; log: string[] }> {
  const threadId = newId();
  await turn(threadId, entries(60));
  await turn(threadId, entries(2, 60));
  return { threadId, log: [...entries(60), answer(60), ...entries(2, 60), answer(63)] };
}

const shownLog = async (threadId: string): Promise<unknown> =>
  JSON.parse((await getThread(runtime.db, { threadId, tenant }))[0]?.values ?? "null")?.log;

async function stateLog(threadId: string): Promise<unknown> {
  const saver = new FencedSaver({ db: runtime.db, holder: { kind: "reader" } });
  return (await saver.getTuple({ configurable: { thread_id: threadId } }))?.checkpoint.channel_values.log;
}

const count = async (text: string, threadId: string): Promise<number> =>
  Number((await rowsOf(runtime, text, threadId))[0]?.n);
const partsOf = (threadId: string): Promise<number> =>
  count("select count(*) as n from holdfast.parts where thread_id = $1", threadId);
/** Everything that is stored of a thread's state. */
const bytesOf = (threadId: string): Promise<number> =>
  count(
    `select (select sum(length(data)) from holdfast.parts where thread_id = $1::uuid)
          + (select sum(length(blob)) from public.checkpoint_blobs where thread_id = $1::uuid::text)
          + (select sum(length(data) + length(coalesce(output, ''))) from holdfast.runs join holdfast.run_events using (run_id)
              where thread_id = $1::uuid) as n`,
    threadId,
  );

describe("a long thread", () => {
  it("has the same state in its checkpoint, events, output and values", async () => {
    const { threadId, log } = await longThread();
    expect(await stateLog(threadId)).toEqual(log);
    expect(await shownLog(threadId)).toEqual(log);
    const run = await turn(threadId, ["last"]);
    const after = [...log, "last", answer(65)];
    expect(JSON.parse(run.output ?? "null")).toEqual({ log: after });
    const values = (await eventsOf(runtime.db, run.run_id)).filter(({ event }) => event === "values");
    expect(values.map(({ data }) => (data as { log: string[] }).log.length)).toEqual([65, 66]);
    expect(values.at(-1)?.data).toEqual({ log: after });
    const stored = await rowsOf(
      runtime,
      `select left("values", 1) as shown, left(output, 1) as given,
              (select count(*) from public.checkpoint_blobs where thread_id = $1::uuid::text and type = 'holdfast-parts') > 0 as blobs
         from holdfast.threads join holdfast.runs using (thread_id) where thread_id = $1::uuid and run_id = $2`,
      threadId,
      run.run_id,
    );
    expect(stored).toEqual([{ shown: "#", given: "#", blobs: true }]);
  });

  it("stores about as much for a turn whether it is short or long", async () => {
    const bytesOfTurns: number[] = [];
    for (const length of [80, 1_600]) {
      const threadId = newId();
      await turn(threadId, entries(length));
      const first = await bytesOf(threadId);
      for (let n = 0; n < 3; n += 1) await turn(threadId, entries(1, length + n));
      bytesOfTurns.push((await bytesOf(threadId)) - first);
    }
    const [short = 0, long = 0] = bytesOfTurns;
    expect(short).toBeGreaterThan(3 * 700);
    expect(long / short).toBeLessThan(1.5);
  });

  it("is found by its values, and counts whole in a page", async () => {
    const { threadId, log } = await longThread();
    const search = (values: unknown, bytesMax: number | null) =>
      searchThreads(runtime.db, {
        tenant,
        metadata: null,
        status: null,
        values,
        ids: [threadId],
        access: null,
        sortBy: "thread_id",
        descending: true,
        limit: 10,
        offset: 0,
        bytesMax,
      });
    const [found] = await search({ log: [entry(61)] }, null);
    expect(JSON.parse(found?.item?.values ?? "null")).toEqual({ log });
    expect(found?.bytes).toBeGreaterThan(Buffer.byteLength(JSON.stringify({ log })));
    expect((await search({ log: ["64: é€"] }, null))[0]?.item).toBeNull();
    expect((await search(null, 20_000))[0]).toMatchObject({ item: null, total: 0 });
  });

  it("gives pages of events by the length of the whole texts", async () => {
    const { threadId } = await longThread();
    const run = await turn(threadId, ["x"]);
    const page = (bytes: number) =>
      readEvents(runtime.db, { runId: run.run_id, afterSeq: 0, limit: 100, bytes });
    expect(await page(30_000)).toHaveLength(1);
    expect(await page(1_000_000)).toHaveLength(2);
  });

  it("goes on after an attempt that failed", async () => {
    const { threadId, log } = await longThread();
    let failures = 0;
    before = () => {
      failures += 1;
      if (failures === 1) throw new Transient("not now", { retryAfterMs: 1 });
    };
    const run = await turn(threadId, ["again"]);
    expect(run).toMatchObject({ status: "success", failures: 1 });
    expect(JSON.parse(run.output ?? "null")).toEqual({ log: [...log, "again", answer(65)] });
    expect(await stateLog(threadId)).toEqual([...log, "again", answer(65)]);
  });

  it("takes a state over HTTP, and is as it was when a run of it is rolled back", async () => {
    const { threadId, log } = await longThread();
    await updateState(runtime, { threadId, tenant, values: { log: ["by hand"] }, asNode: "answer", at: {} });
    expect(await stateLog(threadId)).toEqual([...log, "by hand"]);
    expect(await shownLog(threadId)).toEqual([...log, "by hand"]);
    const begun = signal();
    before = async (aborted) => {
      begun.give();
      if (aborted !== undefined) await once(aborted, "abort");
    };
    const kwargs = { input: { log: entries(20, 900) }, stream_mode: ["values"] };
    const { run_id: runId } = await accepted(runtime, { threadId, kwargs });
    await begun.given;
    await cancelRun(runtime, { runId, threadId, tenant, action: "rollback" });
    await until(runtime.bus, async () => ((await runById(runtime.db, runId)) ? undefined : true), "its end");
    expect(await stateLog(threadId)).toEqual([...log, "by hand"]);
    expect(await shownLog(threadId)).toEqual([...log, "by hand"]);
  });

  it("is copied with its parts, and takes them along when it is deleted", async () => {
    const { threadId, log } = await longThread();
    const copy = await copyThread(runtime, { threadId, tenant, repeatEffects: false });
    expect(JSON.parse(copy.values ?? "null")).toEqual({ log });
    await deleteThread(runtime, { threadId, tenant });
    expect(await partsOf(threadId)).toBe(0);
    expect(await stateLog(copy.thread_id)).toEqual(log);
    const run = await turn(copy.thread_id, ["on"]);
    expect(JSON.parse(run.output ?? "null")).toEqual({ log: [...log, "on", answer(65)] });
  });

  it("loses by a prune what nothing refers to any more, and nothing else", async () => {
    const { threadId, log } = await longThread();
    await rowsOf(runtime, "insert into holdfast.parts values ($1, 'unused', 'x')", threadId);
    const parts = await partsOf(threadId);
    // Nothing while a run is open: it may know the part.
    const open = await makeRun(runtime.db, "running", { threadId });
    expect(await pruneThreads(runtime, { threadIds: [threadId], tenant, strategy: "keep_latest" })).toBe(0);
    expect(await partsOf(threadId)).toBe(parts);
    await rowsOf(runtime, "delete from holdfast.runs where run_id = $1", open.run_id);
    expect(await pruneThreads(runtime, { threadIds: [threadId], tenant, strategy: "keep_latest" })).toBe(1);
    const left = await partsOf(threadId);
    expect(left).toBeLessThan(parts);
    expect(await stateLog(threadId)).toEqual(log);
    expect(await shownLog(threadId)).toEqual(log);
    for (const { run_id: runId } of await rowsOf(
      runtime,
      "select run_id from holdfast.runs where thread_id = $1",
      threadId,
    ))
      expect((await eventsOf(runtime.db, String(runId))).length).toBeGreaterThan(2);
    const run = await turn(threadId, ["on"]);
    expect(JSON.parse(run.output ?? "null")).toEqual({ log: [...log, "on", answer(65)] });
  });

  it("shows an error, and no less than it has, when a part is missing", async () => {
    const { threadId } = await longThread();
    await rowsOf(
      runtime,
      "delete from holdfast.parts where ctid = (select ctid from holdfast.parts where thread_id = $1 limit 1)",
      threadId,
    );
    await expect(Promise.all([stateLog(threadId), shownLog(threadId)])).rejects.toThrow(/missing/);
  });

  it("keeps what a webhook tells of it when it is deleted itself", async () => {
    const threadId = newId();
    await turn(threadId, entries(60), { webhook: "https://example.invalid/" });
    await deleteThread(runtime, { threadId, tenant });
    const [delivery] = await rowsOf(
      runtime,
      "select delivery_id from holdfast.webhook_deliveries where thread_id = $1",
      threadId,
    );
    const [content] = await deliveryContent(runtime.db, { deliveryId: String(delivery?.delivery_id) });
    expect(JSON.parse(content?.output ?? "null")).toEqual({ log: [...entries(60), answer(60)] });
  });

  it("goes on where the stock saver left it", async () => {
    const threadId = newId();
    const stock = graph.compile({ checkpointer: new PostgresSaver(runtime.db.pool) });
    await stock.invoke({ log: entries(60) }, { configurable: { thread_id: threadId } });
    const run = await turn(threadId, ["on"]);
    expect(JSON.parse(run.output ?? "null")).toEqual({
      log: [...entries(60), answer(60), "on", answer(62)],
    });
    expect(await stateLog(threadId)).toEqual([...entries(60), answer(60), "on", answer(62)]);
  });
});

it("a holder whose lease is gone stores no part", async () => {
  const run = await makeRun(runtime.db, "running");
  const item = (epoch: number) => ({
    runId: run.run_id,
    threadId: run.thread_id,
    epoch,
    puts: [],
    writes: [],
    replace: false,
    batch: { firstSeq: 0, attempt: 1, events: [], parts: [{ hash: "h", data: "d" }] },
  });
  const group = new GroupCommit(runtime.db);
  expect(await group.write(item(run.epoch + 1))).toBe(false);
  expect(await partsOf(run.thread_id)).toBe(0);
  expect(await group.write(item(run.epoch))).toBe(true);
  expect(await partsOf(run.thread_id)).toBe(1);
});
