import { HumanMessage } from "@langchain/core/messages";
import { Annotation, interrupt, START, StateGraph } from "@langchain/langgraph";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import { KnownParts } from "../../src/checkpoint/thread-parts.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { createTestDatabase } from "../support/database.ts";
import { makeRun } from "../support/factory.ts";
import { countingStatements } from "../support/statements.ts";

const State = Annotation.Root({
  log: Annotation<unknown[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  last: Annotation<unknown>(),
  unused: Annotation<string>(),
});
const config = (threadId: string, ns = "") => ({ configurable: { thread_id: threadId, checkpoint_ns: ns } });

let db: Database;
let drop: () => Promise<void>;
beforeAll(async () => {
  const test = await createTestDatabase();
  db = openDatabase({ url: test.url, connectionsMax: 4 });
  drop = test.drop;
});
afterAll(async () => {
  await db.close();
  await drop();
});

/** A saver of a run that holds its thread, and what others read of that. */
async function held() {
  const { run_id: runId, thread_id: threadId, epoch } = await makeRun(db, "running");
  const saverOf = () =>
    new FencedSaver({
      db,
      holder: { kind: "run", runId, threadId, epoch },
      metadata: { run_id: runId },
      parts: new KnownParts({ on: db, threadId }),
    });
  const stored = (ns?: string) =>
    new FencedSaver({ db, holder: { kind: "reader" } }).getTuple(config(threadId, ns));
  return { threadId, saver: saverOf(), saverOf, stored };
}

/** What was read from Postgres meanwhile. */
async function reading<T>(told: () => Promise<T>): Promise<{ value: T; reads: number }> {
  const { counts, stop } = countingStatements(db);
  const value = await told().finally(stop);
  return { value, reads: counts.get("checkpoint.get") ?? 0 };
}

const long = (n: number): string => `${n} é€💬 `.padEnd(20_000, `word ${n} `);
const values = [
  new Date(0),
  new Map([["key", { deep: [undefined, 1n, Number.NaN] }]]),
  new Set([1]),
  new HumanMessage({ content: "hello", id: "m1" }),
  new Uint8Array([0, 255]),
];
const steps = new StateGraph(State)
  .addNode("first", () => ({ log: values, last: { message: values[3] } }))
  .addNode("second", ({ log }) => ({ log: [long(log.length)], last: long(1) }))
  .addEdge(START, "first")
  .addEdge("first", "second");

it("a saver tells of the checkpoint that it wrote last what is stored, without a look at it", async () => {
  const { threadId, saver, stored } = await held();
  await steps.compile({ checkpointer: saver }).invoke({ log: ["input"] }, config(threadId));
  const { value, reads } = await reading(() => saver.getTuple(config(threadId)));
  expect(value).toEqual(await stored());
  expect(value?.checkpoint.channel_values.log).toEqual(["input", ...values, long(6)]);
  expect(reads).toBe(0);
});

it("it knows also what an earlier run left on the thread, once it has read it", async () => {
  const { threadId, saver, saverOf, stored } = await held();
  await steps.compile({ checkpointer: saver }).invoke({ log: ["input"] }, config(threadId));
  const next = saverOf();
  const append = new StateGraph(State).addNode("only", () => ({ log: ["more"] })).addEdge(START, "only");
  const turn = await reading(() =>
    append.compile({ checkpointer: next }).invoke({ log: ["again"] }, config(threadId)),
  );
  expect(turn.reads).toBe(1);
  const { value, reads } = await reading(() => next.getTuple(config(threadId)));
  expect(value).toEqual(await stored());
  expect(value?.checkpoint.channel_values).toMatchObject({ last: long(1) });
  expect(reads).toBe(0);
});

it("objects that graph code changes after its step do not show", async () => {
  const { threadId, saver, stored } = await held();
  const item = { text: "as stored" };
  const graph = new StateGraph(State).addNode("only", () => ({ log: [item] })).addEdge(START, "only");
  await graph.compile({ checkpointer: saver }).invoke({ log: [] }, config(threadId));
  item.text = "changed";
  const told = await saver.getTuple(config(threadId));
  expect(told?.checkpoint.channel_values.log).toEqual([{ text: "as stored" }]);
  expect(told).toEqual(await stored());
  (told?.checkpoint.channel_values.log as unknown[] | undefined)?.push("mine");
  expect(await saver.getTuple(config(threadId))).toEqual(await stored());
});

it.each(["sync", "async"] as const)(
  "a question, and what its neighbour did, are told with their checkpoint (%s)",
  async (durability) => {
    const { threadId, saver, stored } = await held();
    const graph = new StateGraph(State)
      .addNode("ask", () => ({ log: [interrupt("sure?")] }))
      .addNode("beside", () => ({ log: ["done"] }))
      .addEdge(START, "ask")
      .addEdge(START, "beside");
    await graph.compile({ checkpointer: saver }).invoke({ log: [] }, { ...config(threadId), durability });
    const told = await saver.getTuple(config(threadId));
    expect(told?.pendingWrites?.map(([, channel]) => channel).sort()).toEqual(["__interrupt__", "log"]);
    expect(told).toEqual(await stored());
  },
);

it("of a subgraph it keeps nothing: its last checkpoint is read", async () => {
  const { threadId, saver, stored } = await held();
  const child = new StateGraph(State).addNode("deep", () => ({ log: ["deep"] })).addEdge(START, "deep");
  const graph = new StateGraph(State)
    .addNode("child", child.compile({ checkpointer: true }))
    .addNode("after", () => ({ log: ["after"] }))
    .addEdge(START, "child")
    .addEdge("child", "after");
  await graph.compile({ checkpointer: saver }).invoke({ log: [] }, config(threadId));
  const { value, reads } = await reading(() =>
    Promise.all([saver.getTuple(config(threadId)), saver.getTuple(config(threadId, "child"))]),
  );
  expect(value).toEqual([await stored(), await stored("child")]);
  expect(value.map((tuple) => tuple?.config.configurable?.checkpoint_ns)).toEqual(["", "child"]);
  expect(reads).toBe(1);
});

it("an older checkpoint that is named is read", async () => {
  const { threadId, saver, stored } = await held();
  await steps.compile({ checkpointer: saver }).invoke({ log: [] }, config(threadId));
  const parent = (await stored())?.parentConfig?.configurable?.checkpoint_id;
  const told = await saver.getTuple({ configurable: { thread_id: threadId, checkpoint_id: parent } });
  expect(told?.config.configurable?.checkpoint_id).toBe(parent);
});

it("once the graph is over a long value of the last step is the one that it gave, not made again", async () => {
  const { threadId, saver, stored } = await held();
  let given: unknown;
  const last = [long(1), new HumanMessage({ content: "hello", id: "m1" })];
  const graph = new StateGraph(State)
    .addNode("only", () => {
      given = last;
      return { log: ["short"], last };
    })
    .addEdge(START, "only");
  await graph
    .compile({ checkpointer: saver })
    .invoke({ log: [] }, { ...config(threadId), durability: "sync" });
  const before = await saver.getTuple(config(threadId));
  expect(before?.checkpoint.channel_values.last).not.toBe(given);
  saver.graphIsOver();
  const { value, reads } = await reading(() => saver.getTuple(config(threadId)));
  expect(value?.checkpoint.channel_values.last).toBe(given);
  expect(value).toEqual(before);
  expect(value).toEqual(await stored());
  expect(reads).toBe(0);
});

/** A long value, and a node behind it that changes it in place. */
const spoiling = (more: () => { last: string }) =>
  new StateGraph(State)
    .addNode("first", () => ({ log: [long(1), { text: "as stored" }] }))
    .addNode("spoil", ({ log }) => {
      (log[1] as { text: string }).text = "changed";
      return more();
    })
    .addEdge(START, "first")
    .addEdge("first", "spoil");

it.each([
  [
    "where a node has run on it since, which may have changed it, and asks",
    () => ({ last: interrupt("sure?") }),
  ],
  ["where the last step left the value as it was", () => ({ last: "done" })],
])("but not %s", async (_, more) => {
  const { threadId, saver, stored } = await held();
  const graph = spoiling(more).compile({ checkpointer: saver });
  await graph.invoke({ log: [] }, { ...config(threadId), durability: "sync" });
  saver.graphIsOver();
  const told = await saver.getTuple(config(threadId));
  expect(told?.checkpoint.channel_values.log).toEqual([long(1), { text: "as stored" }]);
  expect(told).toEqual(await stored());
});
