import { type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";
import type { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { StoreIndex } from "../../src/checkpoint/store-index.ts";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { createApp } from "../../src/http/app.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { pruneOnce } from "../../src/queue/scheduler.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { LogState } from "../support/scenario.ts";
import { serveTwoTenants, type TwoTenants } from "../support/two-tenants.ts";

/** Counts words of three topics: texts of one topic point the same way. */
const topics = [
  ["cat", "dog", "pet"],
  ["bread", "soup", "food"],
  ["train", "car", "travel"],
];
const directions = async (texts: string[]): Promise<number[][]> => {
  asked.push(...texts);
  return texts.map((text) =>
    topics.map((words) => 0.01 + words.filter((word) => text.toLowerCase().includes(word)).length),
  );
};
const asked: string[] = [];
const index: StoreIndex = {
  name: "topics/3",
  dimensions: 3,
  fields: ["$"],
  embed: { documents: directions, query: async (text) => (await directions([text]))[0] ?? [] },
};

const remembering = new StateGraph(LogState)
  .addNode("remember", async (_state, { store }: LangGraphRunnableConfig) => {
    await store?.put(["graph"], "k1", { text: "the cat sleeps" });
    await store?.put(["graph"], "k2", { text: "a loaf of bread" });
    const found = await store?.search(["graph"], { query: "which pet?", limit: 1 });
    return { log: found?.map(({ key, score }) => `${key} ${(score ?? 0) > 0.9}`) ?? [] };
  })
  .addEdge(START, "remember")
  .compile();

let runtime: TestRuntime;
let tenants: TwoTenants;
let mine: Client;
let yours: Client;

const serving = (storeIndex: StoreIndex | null): ReturnType<typeof createApp> =>
  createApp({
    ...runtime,
    storeIndex,
    config: { ...httpDefaults, version: "test" },
    ready: async () => true,
  });

beforeAll(async () => {
  runtime = await startRuntime({ registry: await registryOf("any", remembering), storeIndex: index });
  tenants = await serveTwoTenants(runtime);
  ({ mine, yours } = tenants);
});
afterAll(() => tenants.close());
beforeEach(async () => {
  await runtime.db.query({ text: "delete from holdfast.store_items", values: [] });
  asked.length = 0;
});

const near = async (query: string, options = {}, client = mine): Promise<string[]> =>
  (await client.store.searchItems(["notes"], { query, ...options })).items.map(({ key }) => key);

async function putNotes(): Promise<void> {
  await mine.store.putItem(["notes"], "animals", { text: "my dog and my cat", lang: "en" });
  await mine.store.putItem(["notes", "deep"], "kitchen", { text: "soup and bread", lang: "en" });
  await mine.store.putItem(["notes"], "trip", { text: "by train with the dog", lang: "de" });
}

describe("a search by meaning", () => {
  it("gives the nearest items first, with their scores", async () => {
    await putNotes();
    const { items } = await mine.store.searchItems(["notes"], { query: "a pet" });
    expect(items.map(({ key }) => key)).toEqual(["animals", "trip", "kitchen"]);
    const scores = items.map(({ score }) => score as number);
    expect(scores[0]).toBeGreaterThan(0.99);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  });

  it("keeps to its prefix, filter, page and tenant", async () => {
    await putNotes();
    await yours.store.putItem(["notes"], "theirs", { text: "dog" });
    await mine.store.putItem(["notesx"], "beside", { text: "dog" });
    expect(await near("dog", { filter: { lang: "en" } })).toEqual(["animals", "kitchen"]);
    expect(await near("dog", { limit: 1, offset: 1 })).toEqual(["trip"]);
    expect(await near("dog", {}, yours)).toEqual(["theirs"]);
  });

  it("follows what an item says now, and forgets what is gone", async () => {
    await putNotes();
    await mine.store.putItem(["notes"], "animals", { text: "food" });
    expect(await near("any food", { limit: 1 })).toEqual(["animals"]);
    await mine.store.deleteItem(["notes"], "animals");
    await mine.store.putItem(["notes"], "short", { text: "food" }, { ttl: 1 });
    runtime.clock.set(new Date(Date.now() + 120_000));
    expect(await near("food")).toEqual(["kitchen", "trip"]);
    await pruneOnce(runtime, { deadLetterDays: 0 });
    const { rows } = await runtime.db.query({
      text: "select key from holdfast.store_vectors order by 1",
      values: [],
    });
    expect(rows.map(({ key }) => key)).toEqual(["kitchen", "trip"]);
    runtime.clock.set(new Date());
  });

  it("finds an item by the fields that it names, by each of several texts, or not at all", async () => {
    const value = { title: "dog", pages: [{ text: "bread" }, { text: "train" }] };
    await mine.store.putItem(["notes"], "by-title", value, { index: ["title"] });
    await mine.store.putItem(["notes"], "by-pages", value, { index: ["pages[*].text"] });
    await mine.store.putItem(["notes"], "hidden", value, { index: false });
    expect(asked).toEqual(["dog", "bread", "train"]);
    expect(await near("travel", { limit: 1 })).toEqual(["by-pages"]);
    expect(await near("pet", { limit: 1 })).toEqual(["by-title"]);
    expect(await near("pet")).not.toContain("hidden");
    expect((await mine.store.searchItems(["notes"])).items).toHaveLength(3);
  });

  it("compares vectors of one model only", async () => {
    await putNotes();
    const other = serving({ ...index, name: "topics/3, second edition" });
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(runtime.db, { keyId: newId(), tenant: "mine", name: "other", prefix, hash });
    const headers = { "x-api-key": key, "content-type": "application/json" };
    const search = { method: "POST", headers, body: JSON.stringify({ namespace_prefix: [], query: "pet" }) };
    expect(await (await other.request("/store/items/search", search)).json()).toEqual({ items: [] });
    const refused = await serving(null).request("/store/items/search", search);
    expect(refused.status).toBe(422);
    expect(await refused.text()).toContain("store.index");
  });

  it("stores nothing when the model gives no vector of the size that is declared", async () => {
    const wrong = serving({ ...index, dimensions: 4 });
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(runtime.db, { keyId: newId(), tenant: "mine", name: "wrong", prefix, hash });
    const headers = { "x-api-key": key, "content-type": "application/json" };
    const body = JSON.stringify({ namespace: ["notes"], key: "k", value: { text: "dog" } });
    expect((await wrong.request("/store/items", { method: "PUT", headers, body })).status).toBe(500);
    expect(await mine.store.getItem(["notes"], "k")).toBeNull();
  });

  it("is there for the nodes of a graph", async () => {
    runtime.work();
    const values = (await mine.runs.wait(null, "any", { input: { log: [] } })) as { log: string[] };
    expect(values.log).toEqual(["k1 true"]);
  });
});
