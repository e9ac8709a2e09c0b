import { Annotation, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it, onTestFinished } from "vitest";
import { GroupCommit } from "../../src/checkpoint/group-commit.ts";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import type { SaverOptions } from "../../src/checkpoint/saver-options.ts";
import { KnownParts } from "../../src/checkpoint/thread-parts.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { DatabaseAway } from "../../src/domain/errors.ts";
import { createTestDatabase } from "../support/database.ts";
import { makeRun } from "../support/factory.ts";
import { signal } from "../support/scenario.ts";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** What one statement with a group carried. */
interface Carried {
  checkpoints: number;
  writes: number;
}
/** Positions of two columns in the statement's values. */
const checkpointItems = 5;
const writeItems = 17;
const partData = 34;

/** A saver of a claimed run; `carried` lists its statements, `before` may hold or fail the nth. */
async function leased(
  options: {
    before?: (nth: number) => Promise<void>;
    /** Takes how much of long values each statement carries; without it they are stored whole. */
    sentChars?: number[];
  } & Pick<SaverOptions, "write" | "inputWaits"> = {},
) {
  const test = await createTestDatabase();
  const db = openDatabase({ url: test.url, connectionsMax: 4 });
  onTestFinished(async () => {
    await db.close();
    await test.drop();
  });
  const run = await makeRun(db, "running");
  const carried: Carried[] = [];
  const watched: Database = {
    ...db,
    async query(statement) {
      carried.push({
        checkpoints: (statement.values[checkpointItems] as unknown[]).length,
        writes: (statement.values[writeItems] as unknown[]).length,
      });
      const parts = (statement.values[partData] ?? []) as string[];
      options.sentChars?.push(parts.reduce((sum, data) => sum + data.length, 0));
      await options.before?.(carried.length);
      return db.query(statement);
    },
  };
  const { run_id: runId, thread_id: threadId, epoch } = run;
  const saver = new FencedSaver({
    db,
    holder: { kind: "run", runId, threadId, epoch },
    group: new GroupCommit(watched),
    ...(options.write === undefined ? {} : { write: options.write }),
    inputWaits: options.inputWaits ?? false,
    ...(options.sentChars === undefined
      ? {}
      : { parts: new KnownParts({ on: db, threadId, newThread: true }) }),
  });
  const config = { configurable: { thread_id: threadId }, durability: "sync" as const };
  return { db, run, saver, carried, config };
}

const at = (run: RunRow) => ({
  configurable: { thread_id: run.thread_id, checkpoint_ns: "", checkpoint_id: "c1" },
});

const checkpoint = {
  v: 4,
  id: "c2",
  ts: "2030-01-01T00:00:00Z",
  channel_values: {},
  channel_versions: {},
  versions_seen: {},
};

async function writesOf(db: Database, run: RunRow): Promise<unknown[]> {
  const text =
    "select distinct task_id from public.checkpoint_writes where thread_id = $1 and channel = 'log'";
  return (await db.query({ text, values: [run.thread_id] })).rows;
}

it("the writes of a task whose step is committed in the same moment travel with its checkpoint", async () => {
  const { saver, carried, db, run } = await leased();
  const written = saver.putWrites(at(run), [["log", "a"]], "a");
  await Promise.all([written, saver.put(at(run), checkpoint, { source: "loop", step: 1, parents: {} }, {})]);
  expect(carried).toEqual([{ checkpoints: 1, writes: 1 }]);
  expect(await writesOf(db, run)).toHaveLength(1);
});

it("the writes of a finished task go alone where another task of its step still works", async () => {
  const { saver, config, db, run } = await leased();
  const slow = signal();
  const graph = new StateGraph(State)
    .addNode("quick", () => ({ log: ["quick"] }))
    .addNode("slow", async () => {
      await slow.given;
      return { log: ["slow"] };
    })
    .addEdge(START, "quick")
    .addEdge(START, "slow")
    .compile({ checkpointer: saver });
  const ended = graph.invoke({ log: [] }, config);
  await expect.poll(async () => (await writesOf(db, run)).length, { timeout: 10_000 }).toBe(2);
  slow.give();
  expect(await ended).toEqual({ log: ["quick", "slow"] });
});

it("writes of several tasks that end together are one statement, and each caller hears of its end", async () => {
  const { saver, carried, db, run } = await leased();
  await Promise.all(["one", "two", "three"].map((task) => saver.putWrites(at(run), [["log", task]], task)));
  expect(carried).toEqual([{ checkpoints: 0, writes: 3 }]);
  expect(await writesOf(db, run)).toHaveLength(3);
});

it("all who travel hear that the lease is gone, and nothing is left waiting", async () => {
  const { saver, db, run } = await leased();
  await db.query({
    text: "update holdfast.runs set epoch = epoch + 1 where run_id = $1",
    values: [run.run_id],
  });
  const writes = ["one", "two"].map((task) => saver.putWrites(at(run), [["log", task]], task));
  for (const end of await Promise.allSettled(writes))
    expect(end).toMatchObject({ status: "rejected", reason: { name: "LeaseLost" } });
  const late = saver.putWrites(at(run), [["log", "late"]], "late");
  await expect(late).rejects.toMatchObject({ name: "LeaseLost" });
  expect(await writesOf(db, run)).toEqual([]);
});

it("a statement that is repeated while the database is away carries the same writes", async () => {
  let away = 0;
  const { saver, config, db, run, carried } = await leased({
    before: async (nth) => {
      if (nth % 2 === 1) throw new DatabaseAway("Postgres: gone");
    },
    async write(_, statement) {
      for (;;) {
        try {
          return await statement();
        } catch (error) {
          if (!(error instanceof DatabaseAway)) throw error;
          away += 1;
        }
      }
    },
  });
  const graph = new StateGraph(State)
    .addNode("a", () => ({ log: ["a"] }))
    .addEdge(START, "a")
    .compile({ checkpointer: saver });
  expect(await graph.invoke({ log: [] }, config)).toEqual({ log: ["a"] });
  expect(away).toBeGreaterThan(2);
  expect(carried.filter(({ checkpoints }) => checkpoints === 1).length % 2).toBe(0);
  expect(await writesOf(db, run)).toHaveLength(2);
});

it("a statement whose answer was lost is repeated without a second row", async () => {
  const { saver, config, db, run } = await leased({
    async write(_, statement) {
      await statement();
      return statement();
    },
  });
  const graph = new StateGraph(State)
    .addNode("a", () => ({ log: ["a"] }))
    .addEdge(START, "a")
    .compile({ checkpointer: saver });
  expect(await graph.invoke({ log: [] }, config)).toEqual({ log: ["a"] });
  expect((await saver.getTuple(config))?.checkpoint.channel_values.log).toEqual(["a"]);
  expect(await writesOf(db, run)).toHaveLength(2);
});

it("a checkpoint that fails takes its writes along: both callers hear of it, and neither is stored", async () => {
  const { saver, db, run } = await leased();
  const refused = saver.putWrites(at(run), [["log", "a"]], "a");
  const metadata = { source: "loop", step: 1, parents: {}, note: "\u0000" } as const;
  const put = saver.put(at(run), checkpoint, metadata, {});
  for (const end of await Promise.allSettled([put, refused])) expect(end.status).toBe("rejected");
  expect(await writesOf(db, run)).toEqual([]);
});

describe("the checkpoint of an input", () => {
  const graphOf = (saver: FencedSaver) =>
    new StateGraph(State)
      .addNode("a", () => ({ log: ["a"] }))
      .addEdge(START, "a")
      .compile({ checkpointer: saver });
  const put = (saver: FencedSaver, run: RunRow, source: "input" | "loop", id: string) =>
    saver.put(at(run), { ...checkpoint, id }, { source, step: -1, parents: {} }, { [START]: 1 });
  const storedIds = async (db: Database, run: RunRow): Promise<unknown[]> => {
    const text = "select checkpoint_id as id from public.checkpoints where thread_id = $1 order by seq";
    return (await db.query({ text, values: [run.thread_id] })).rows.map(({ id }) => id);
  };

  it("travels with that of the step behind it, which stays the later one of both", async () => {
    const { saver, carried, config } = await leased({ inputWaits: true });
    const graph = graphOf(saver);
    expect(await graph.invoke({ log: ["in"] }, config)).toEqual({ log: ["in", "a"] });
    expect(carried).toEqual([
      { checkpoints: 2, writes: 2 },
      { checkpoints: 1, writes: 1 },
    ]);
    const steps: unknown[] = [];
    for await (const { metadata } of graph.getStateHistory(config)) steps.push(metadata?.step);
    expect(steps).toEqual([1, 0, -1]);
  });

  it("goes alone where its step does not come, and that one waits for it", async () => {
    const underWay = signal();
    const gate = signal();
    const { saver, carried, db, run } = await leased({
      inputWaits: true,
      async before(nth) {
        if (nth > 1) return;
        underWay.give();
        await gate.given;
      },
    });
    await put(saver, run, "input", "c1");
    await underWay.given;
    const next = put(saver, run, "loop", "c2");
    gate.give();
    await next;
    expect(carried).toEqual([
      { checkpoints: 1, writes: 0 },
      { checkpoints: 1, writes: 0 },
    ]);
    expect(await storedIds(db, run)).toEqual(["c1", "c2"]);
  });

  it("that is refused fails the step behind it, of which nothing is stored", async () => {
    const tried = signal();
    const { saver, db, run } = await leased({
      inputWaits: true,
      async before(nth) {
        if (nth > 1) return;
        tried.give();
        throw new Error("refused");
      },
    });
    await put(saver, run, "input", "c1");
    const written = saver.putWrites(at(run), [["log", "a"]], "a");
    await tried.given;
    const behind = await Promise.allSettled([
      written,
      put(saver, run, "loop", "c2"),
      saver.flush(),
      saver.getTuple({ configurable: { thread_id: run.thread_id } }),
    ]);
    for (const end of behind) expect(end).toMatchObject({ reason: { message: "refused" } });
    expect(await storedIds(db, run)).toEqual([]);
    expect(await writesOf(db, run)).toEqual([]);
  });

  it("is not stored without the step behind it when one statement of both is refused", async () => {
    const { saver, db, run } = await leased({ inputWaits: true });
    await put(saver, run, "input", "c1");
    const metadata = { source: "loop", step: 0, parents: {}, note: "\u0000" } as const;
    await expect(saver.put(at(run), checkpoint, metadata, {})).rejects.toThrow();
    expect(await storedIds(db, run)).toEqual([]);
  });

  it("is stored once where the answer to the statement of both was lost", async () => {
    const { saver, db, run, config } = await leased({
      inputWaits: true,
      async write(_, statement) {
        await statement();
        return statement();
      },
    });
    expect(await graphOf(saver).invoke({ log: ["in"] }, config)).toEqual({ log: ["in", "a"] });
    expect(await storedIds(db, run)).toHaveLength(3);
  });

  it("that is long is not sent a second time by the step that hands it on", async () => {
    const sentChars: number[] = [];
    const { saver, config } = await leased({ inputWaits: true, sentChars });
    const input = Array.from({ length: 10_000 }, (_, n) => `word ${n} `).join("");
    await graphOf(saver).invoke({ log: [input] }, config);
    const [first = 0, second = 0] = sentChars;
    expect(first).toBeGreaterThan(input.length * 0.9);
    expect(first).toBeLessThan(input.length * 1.3);
    expect(second).toBeLessThan(input.length * 0.1);
  });

  it("is there before an error of the step behind it, and before anybody reads", async () => {
    const { saver, db, run } = await leased({ inputWaits: true });
    await put(saver, run, "input", "c1");
    await saver.putWrites(at(run), [["__error__", { message: "no" }]], "task");
    expect(await storedIds(db, run)).toEqual(["c1"]);
    await put(saver, run, "input", "c2");
    const tuple = await saver.getTuple({ configurable: { thread_id: run.thread_id } });
    expect(tuple?.checkpoint.id).toBe("c2");
    expect(await storedIds(db, run)).toEqual(["c1", "c2"]);
  });

  it("of a subgraph, of a command, and where the step behind it runs code of the team's, goes at once", async () => {
    const { saver, carried, run } = await leased({ inputWaits: true });
    const inside = { configurable: { ...at(run).configurable, checkpoint_ns: "child:1" } };
    const metadata = { source: "input", step: -1, parents: {} } as const;
    await saver.put(inside, checkpoint, metadata, { [START]: 1 });
    await saver.put(at(run), checkpoint, metadata, { log: 1, "branch:to:a": 1 });
    expect(carried).toEqual([
      { checkpoints: 1, writes: 0 },
      { checkpoints: 1, writes: 0 },
    ]);
    const { saver: other, carried: sent, config } = await leased();
    await graphOf(other).invoke({ log: [] }, config);
    expect(sent.map(({ checkpoints }) => checkpoints).filter((count) => count > 0)).toEqual([1, 1, 1]);
  });
});
