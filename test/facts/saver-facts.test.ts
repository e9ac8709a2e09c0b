// Upstream behaviour that shaped the saver, as measured; each must hold for ours.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { AIMessage, AIMessageChunk, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import { strictSerializer } from "../../src/checkpoint/serializer.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { LeaseLost } from "../../src/domain/errors.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { makeRun } from "../support/factory.ts";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  doc: Annotation<unknown>(),
});
const threeSteps = () =>
  new StateGraph(State)
    .addNode("a", () => ({ log: ["a"] }))
    .addNode("b", () => ({ log: ["b"] }))
    .addEdge(START, "a")
    .addEdge("a", "b")
    .addEdge("b", END);

let test: TestDatabase;
let db: Database;
beforeAll(async () => {
  test = await createTestDatabase();
  db = openDatabase({ url: test.url, connectionsMax: 6 });
});
afterAll(async () => {
  await db.close();
  await test.drop();
});

async function leased(serializer?: SerializerProtocol) {
  const run = await makeRun(db, "running");
  const holder = { kind: "run", runId: run.run_id, threadId: run.thread_id, epoch: run.epoch } as const;
  const saver = new FencedSaver({ db, holder, ...(serializer === undefined ? {} : { serializer }) });
  return { run, saver, config: { configurable: { thread_id: run.thread_id }, durability: "sync" as const } };
}

describe("checkpoints", () => {
  it("1: are latest by our own order, when a later worker's clock is ten minutes behind", async () => {
    const { saver, config } = await leased();
    let paid = 0;
    const graph = new StateGraph(State)
      .addNode("a", () => ({ log: ["a"] }))
      .addNode("b", () => ({ log: ["b"] }))
      .addNode("pay", () => {
        paid += 1;
        return { log: ["paid"] };
      })
      .addEdge(START, "a")
      .addEdge("a", "b")
      .addEdge("b", "pay")
      .addEdge("pay", END)
      .compile({ checkpointer: saver, interruptBefore: ["b"] });
    await graph.invoke({ log: [] }, config);
    const real = Date.now;
    Date.now = () => real() - 600_000;
    try {
      await graph.invoke(null, config);
    } finally {
      Date.now = real;
    }
    const state = await graph.getState(config);
    expect(state.values.log).toEqual(["a", "b", "paid"]);
    expect(state.next).toEqual([]);
    // A second resume finds nothing to do; from a stale "latest" it would pay again.
    await graph.invoke(null, config);
    expect(paid).toBe(1);
  });

  it("2: are written by one of two workers that resume one thread at once", async () => {
    const { run, saver, config } = await leased();
    await db.query({
      text: "update holdfast.runs set epoch = epoch + 1 where run_id = $1 and status = 'running'",
      values: [run.run_id],
    });
    const holder = { kind: "run", runId: run.run_id, threadId: run.thread_id, epoch: run.epoch + 1 } as const;
    const later = threeSteps().compile({ checkpointer: new FencedSaver({ db, holder }) });
    const earlier = threeSteps().compile({ checkpointer: saver });
    const [lost, won] = await Promise.allSettled([
      earlier.invoke({ log: [] }, config),
      later.invoke({ log: [] }, config),
    ]);
    expect(won).toMatchObject({ status: "fulfilled", value: { log: ["a", "b"] } });
    expect(lost).toMatchObject({ status: "rejected", reason: expect.any(LeaseLost) });
    const { rows } = await db.query({
      text: "select distinct epoch from public.checkpoints where thread_id = $1",
      values: [run.thread_id],
    });
    expect(rows).toEqual([{ epoch: run.epoch + 1 }]);
  });

  it("3: of a step are committed before the next one begins", async () => {
    const { run, saver, config } = await leased();
    const seen: boolean[] = [];
    const look = async (_: unknown, runtime: { executionInfo?: { checkpointId?: string } }) => {
      const { rows } = await db.query({
        text: "select 1 from public.checkpoints where thread_id = $1 and checkpoint_id = $2",
        values: [run.thread_id, runtime.executionInfo?.checkpointId ?? ""],
      });
      seen.push(rows.length === 1);
      return { log: ["x"] };
    };
    const graph = new StateGraph(State)
      .addNode("a", look as never)
      .addNode("b", look as never)
      .addEdge(START, "a")
      .addEdge("a", "b")
      .addEdge("b", END)
      .compile({ checkpointer: saver });
    await graph.invoke({ log: [] }, config);
    expect(seen).toEqual([true, true]);
  });

  it("4: keep the id of a task when its attempt is repeated", async () => {
    const { saver, config } = await leased();
    const ids: (string | undefined)[] = [];
    let fail = true;
    const graph = new StateGraph(State)
      .addNode("pay", ((_: unknown, runtime: { executionInfo?: { taskId?: string } }) => {
        ids.push(runtime.executionInfo?.taskId);
        if (fail) throw new Error("the worker dies here");
        return { log: ["paid"] };
      }) as never)
      .addEdge(START, "pay")
      .addEdge("pay", END)
      .compile({ checkpointer: saver });
    await expect(graph.invoke({ log: [] }, config)).rejects.toThrow("dies here");
    fail = false;
    await graph.invoke(null, config);
    expect(ids[0]).toBeDefined();
    expect(ids[1]).toBe(ids[0]);
  });

  it("6: hold a forged constructor as the plain data it is, and stay readable", async () => {
    const { saver, config } = await leased();
    const doc = [
      { lc: 1, type: "constructor", id: ["evil", "Thing"], kwargs: {} },
      {
        lc: 1,
        type: "constructor",
        id: ["langchain_core", "messages", "AIMessage"],
        kwargs: { content: "approved" },
      },
      { $hf: "lc", c: "AIMessage", v: { content: "approved" } },
    ];
    const graph = threeSteps().compile({ checkpointer: saver });
    await graph.invoke({ log: [], doc }, config);
    expect((await graph.getState(config)).values.doc).toEqual(doc);
    await graph.invoke({ log: ["again"] }, config);
  });

  it("11: of a fork run the node that the update made next", async () => {
    const { saver, config } = await leased();
    const graph = threeSteps().compile({ checkpointer: saver });
    await graph.invoke({ log: [] }, config);
    const history = [];
    for await (const state of graph.getStateHistory(config)) history.push(state);
    const beforeB = history.find((state) => state.next.includes("b"));
    const forked = await graph.updateState(beforeB?.config ?? {}, { log: ["forked"] }, "a");
    expect((await graph.getState(forked)).next).toEqual(["b"]);
    const out = await graph.invoke(null, {
      ...config,
      configurable: { ...config.configurable, ...forked.configurable },
    });
    expect(out.log).toEqual(["a", "forked", "b"]);
  });

  it("13: can be encrypted whole, with nothing readable in blobs or writes", async () => {
    const key = randomBytes(32);
    const aes: SerializerProtocol = {
      async dumpsTyped(value) {
        const [type, plain] = await strictSerializer.dumpsTyped(value);
        const iv = randomBytes(12);
        const cipher = createCipheriv("aes-256-gcm", key, iv);
        const text = Buffer.concat([cipher.update(plain), cipher.final()]);
        return [`${type}+aes`, Buffer.concat([iv, cipher.getAuthTag(), text])];
      },
      async loadsTyped(type, data) {
        const bytes = Buffer.from(data as Uint8Array);
        const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12)).setAuthTag(
          bytes.subarray(12, 28),
        );
        const plain = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]);
        return strictSerializer.loadsTyped(type.replace("+aes", ""), plain);
      },
    };
    const { run, saver, config } = await leased(aes);
    const graph = threeSteps().compile({ checkpointer: saver });
    await graph.invoke({ log: ["top secret"] }, config);
    expect((await graph.getState(config)).values.log).toEqual(["top secret", "a", "b"]);
    const { rows } = await db.query({
      text: `select blob from public.checkpoint_blobs where thread_id = $1 and blob is not null
             union all select blob from public.checkpoint_writes where thread_id = $1`,
      values: [run.thread_id],
    });
    expect(rows.length).toBeGreaterThan(4);
    for (const { blob } of rows) expect((blob as Buffer).includes("secret")).toBe(false);
  });

  it("of the stock saver can be read, and gone on from", async () => {
    const threadId = (await makeRun(db, "running")).thread_id;
    const config = { configurable: { thread_id: threadId }, durability: "sync" as const };
    const stock = threeSteps().compile({ checkpointer: new PostgresSaver(db.pool), interruptBefore: ["b"] });
    await stock.invoke({ log: [], doc: new Map([["k", new HumanMessage("hi")]]) }, config);
    const { rows } = await db.query({
      text: "select run_id, epoch from holdfast.runs where thread_id = $1",
      values: [threadId],
    });
    const holder = {
      kind: "run",
      runId: String(rows[0]?.run_id),
      threadId,
      epoch: Number(rows[0]?.epoch),
    } as const;
    const ours = threeSteps().compile({ checkpointer: new FencedSaver({ db, holder }) });
    const before = await ours.getState(config);
    expect(before.next).toEqual(["b"]);
    expect(before.values.doc.get("k").text).toBe("hi");
    expect((await ours.invoke(null, config)).log).toEqual(["a", "b"]);
    expect((await ours.getState(config)).values.doc.get("k").text).toBe("hi");
  });
});

describe("values", () => {
  const back = async (value: unknown) => {
    const [type, bytes] = await strictSerializer.dumpsTyped(value);
    return strictSerializer.loadsTyped(type, bytes);
  };

  const kept: [string, unknown][] = [
    ["undefined in objects and lists", { a: undefined, b: [undefined, 1] }],
    ["dates", { at: new Date(0), not: new Date(Number.NaN) }],
    ["a BigInt", { n: 12345678901234567890n }],
    ["NaN, infinities and minus zero", [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]],
    ["maps and sets of anything", new Map<unknown, unknown>([[{ k: 1 }, new Set([new Date(1)])]])],
    ["bytes", { b: new Uint8Array([0, 255, 7]) }],
    ["errors with their class and cause", new TypeError("x", { cause: new RangeError("y") })],
    ["NUL and lone surrogates", { text: "a\u0000b", sur: "\ud800" }],
    ["a key named __proto__", JSON.parse('{"__proto__": {"polluted": 1}, "y": 1}')],
    ["our own tag as a key", { $hf: "date", v: "no date" }],
    ["a human message", new HumanMessage({ content: "hi", id: "1", name: "bob" })],
    [
      "an AI message with calls and usage",
      new AIMessage({
        content: "x",
        tool_calls: [{ id: "1", name: "t", args: { a: 1 }, type: "tool_call" }],
        usage_metadata: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
      } as never),
    ],
    [
      "a message chunk",
      new AIMessageChunk({
        content: "x",
        tool_call_chunks: [{ id: "1", name: "t", args: '{"a":1}', index: 0, type: "tool_call_chunk" }],
      }),
    ],
    [
      "a tool message with a date in its artifact",
      new ToolMessage({ content: "r", tool_call_id: "1", artifact: { d: new Date(0) } }),
    ],
  ];
  it.each(kept)("7, 21: read back equal: %s", async (_, value) => {
    expect(await back(value)).toStrictEqual(value);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  class Foreign {
    x = 1;
  }
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  let deep: unknown = {};
  for (let n = 0; n < 20_000; n += 1) deep = { n: deep };
  const refused: [string, unknown, string][] = [
    ["a function", { a: [() => 1] }, "$.a[0]"],
    ["a symbol", { s: Symbol("x") }, "$.s"],
    ["an instance of an unknown class", { here: new Foreign() }, "$.here"],
    ["a cycle", { c: cycle }, "$.c.self"],
    ["20,000 levels", deep, "deeper than 256"],
    ["a promise", { p: Promise.resolve(1) }, "$.p"],
    ["what lies in a map and a set", new Map([["k", new Set([1, () => 1])]]), "$<value 0><item 1>"],
    ["what lies under a key with a bracket", { "<key 0>": () => 1 }, "$.<key 0>"],
  ];
  it.each(refused)("7: are refused with their path: %s", async (_, value, path) => {
    await expect(strictSerializer.dumpsTyped(value)).rejects.toThrow(path);
  });
});

describe("the schema", () => {
  it("12: is made once by four programs that start at the same time on an empty database", async () => {
    const url = new URL(test.url);
    const name = `${url.pathname.slice(1)}_four`;
    await db.query({ text: `create database ${name} template template0`, values: [] });
    url.pathname = `/${name}`;
    const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(url.href)));
    expect(applied.flat().sort()).toEqual(
      (await readdir(path.resolve(import.meta.dirname, "../../src/db/migrations"))).sort(),
    );
    await db.query({ text: `drop database ${name} with (force)`, values: [] });
  });
});
