import { getStore, type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";
import type { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { keyBytesMax, namespaceBytesMax, namespaceLabelsMax } from "../../src/domain/store-item.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { pruneOnce } from "../../src/queue/scheduler.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { LogState, rowsOf } from "../support/scenario.ts";
import { serveTwoTenants, type TwoTenants } from "../support/two-tenants.ts";

const told = (value: unknown): { log: string[] } => ({ log: [JSON.stringify(value)] });

/** Counts its visits in the store, in a node and in a subgraph's node, and tells what it finds. */
const inner = new StateGraph(LogState)
  .addNode("count", async () => {
    const store = getStore();
    const seen = await store?.get(["visits"], "count");
    await store?.put(["visits"], "count", { n: Number(seen?.value.n ?? 0) + 1 });
    return told((await store?.get(["visits"], "count"))?.value);
  })
  .addEdge(START, "count")
  .compile();
const visits = new StateGraph(LogState)
  .addNode("inner", inner)
  .addNode("look", async (_state, { store }: LangGraphRunnableConfig) => {
    await Promise.all(["a", "b"].map((key) => store?.put(["notes", key], key, { text: key })));
    await store?.delete(["notes", "a"], "a");
    const found = await store?.search([], { filter: { text: "b" }, query: "what is b?" });
    const all = await store?.search([], { limit: 100 });
    return told([all?.map(({ namespace }) => namespace), found?.map(({ key, value }) => ({ key, value }))]);
  })
  .addEdge(START, "inner")
  .addEdge("inner", "look")
  .compile();

let runtime: TestRuntime;
let tenants: TwoTenants;
let mine: Client;
let yours: Client;

beforeAll(async () => {
  runtime = await startRuntime({ registry: await registryOf("any", visits) });
  tenants = await serveTwoTenants(runtime);
  ({ mine, yours } = tenants);
});
afterAll(() => tenants.close());

const keysBelow = async (client: Client, prefix: string[], options = {}): Promise<string[]> =>
  (await client.store.searchItems(prefix, { limit: 100, ...options })).items.map(({ key }) => key);

describe("an item", () => {
  it("is put, read, replaced and deleted, and is null when it is not there", async () => {
    expect(await mine.store.getItem(["users", "u1"], "name")).toBeNull();
    await mine.store.putItem(["users", "u1"], "name", { first: "Ada", tags: ["x"], deep: { n: 1 } });
    const first = await mine.store.getItem(["users", "u1"], "name");
    expect(first).toMatchObject({
      namespace: ["users", "u1"],
      key: "name",
      value: { first: "Ada", tags: ["x"], deep: { n: 1 } },
    });
    await mine.store.putItem(["users", "u1"], "name", { first: "Grace" });
    const second = await mine.store.getItem(["users", "u1"], "name");
    expect(second?.value).toEqual({ first: "Grace" });
    expect(second?.createdAt).toBe(first?.createdAt);
    expect(Date.parse(second?.updatedAt ?? "")).toBeGreaterThan(Date.parse(first?.updatedAt ?? ""));
    await mine.store.deleteItem(["users", "u1"], "name");
    await mine.store.deleteItem(["users", "u1"], "name");
    expect(await mine.store.getItem(["users", "u1"], "name")).toBeNull();
  });

  it("is one item when many put it at once", async () => {
    const writes = Array.from({ length: 20 }, (_, n) => mine.store.putItem(["race"], "k", { n }));
    await Promise.all(writes);
    expect(await keysBelow(mine, ["race"])).toEqual(["k"]);
  });

  it("can be put, searched and read at the same time by many, with times to live that reading puts off", async () => {
    const keys = Array.from({ length: 30 }, (_, n) => `k${n}`);
    const put = (key: string): Promise<void> => mine.store.putItem(["busy"], key, {}, { ttl: 5 });
    await Promise.all(keys.map(put));
    const all = keys.flatMap((key) => [
      put(key),
      mine.store.searchItems(["busy"], { limit: 30 }),
      mine.store.getItem(["busy"], key),
    ]);
    await Promise.all(all);
    expect(await keysBelow(mine, ["busy"])).toHaveLength(30);
  });

  it("is found by labels, not by the letters they begin with or by wildcards", async () => {
    const places = [["p"], ["p", "q"], ["pq"], ["p:q"], ["p%"], ["p_"], ["p\u0001"], ["P", "q"]];
    for (const place of places) await mine.store.putItem(["t", ...place], place.join("/"), {});
    expect((await keysBelow(mine, ["t", "p"])).sort()).toEqual(["p", "p/q"]);
    expect(await keysBelow(mine, ["t", "p%"])).toEqual(["p%"]);
    expect(await keysBelow(mine, ["t", "%"])).toEqual([]);
    expect(await keysBelow(mine, ["t", "p:q"])).toEqual(["p:q"]);
    expect(await keysBelow(mine, ["t"])).toHaveLength(places.length);
    expect(await mine.store.getItem(["t", "p", "q"], "p:q")).toBeNull();
  });
});

describe("a search", () => {
  beforeAll(async () => {
    const wares = { nut: 1, bolt: 9, gear: 10, "": "9" };
    for (const [key, price] of Object.entries(wares)) {
      await mine.store.putItem(["wares"], key, { price, kind: { of: "part", size: 1 }, "a'b": [1] });
    }
    await mine.store.putItem(["wares"], "bare", { price: null });
  });

  it.each([
    { filter: { price: 9 }, found: ["bolt"] },
    { filter: { price: "9" }, found: [""] },
    { filter: { price: null }, found: ["bare"] },
    { filter: { price: { $gt: 1 } }, found: ["gear", "bolt"] },
    { filter: { price: { $gte: 1, $lt: 10 } }, found: ["bolt", "nut"] },
    { filter: { price: { $lte: "9" } }, found: [""] },
    { filter: { price: { $in: [1, 10] } }, found: ["gear", "nut"] },
    { filter: { price: { $nin: [1, 10, "9"] } }, found: ["bare", "bolt"] },
    { filter: { price: { $ne: 9 } }, found: ["bare", "", "gear", "nut"] },
    { filter: { kind: { of: "part" }, price: { $eq: 1 } }, found: ["nut"] },
    { filter: { kind: "part" }, found: [] },
    { filter: { "a'b": [1], price: 10 }, found: ["gear"] },
    { filter: { "x' or true --": 1 }, found: [] },
    { filter: {}, found: ["bare", "", "gear", "bolt", "nut"] },
  ])("by $filter gives $found, the latest first", async ({ filter, found }) => {
    expect(await keysBelow(mine, ["wares"], { filter })).toEqual(found);
  });

  it("gives pages that do not overlap", async () => {
    const first = await keysBelow(mine, ["wares"], { limit: 3 });
    const second = await keysBelow(mine, ["wares"], { limit: 3, offset: 3 });
    expect([...first, ...second]).toEqual(["bare", "", "gear", "bolt", "nut"]);
  });

  it("is refused when the items it finds are too large together", async () => {
    await rowsOf(
      runtime,
      `insert into holdfast.store_items (tenant, namespace, key, value)
       select 'large', '{large}', n::text, jsonb_build_object('text', repeat('x', 500000)) from generate_series(1, 34) n`,
    );
    const large = await tenants.clientOf("large");
    await expect(keysBelow(large, [])).rejects.toThrow(/422.*16777216 bytes, ask for fewer/s);
    expect(await keysBelow(large, [], { limit: 10 })).toHaveLength(10);
  });

  it("by meaning is refused with what is missing", async () => {
    await expect(mine.store.searchItems([], { query: "cheap parts" })).rejects.toThrow(/422.*store\.index/s);
  });
});

describe("namespaces", () => {
  it("are listed by prefix, suffix, wildcard and depth, and in pages", async () => {
    const places = [
      ["l", "a", "x"],
      ["l", "a", "y", "x"],
      ["l", "b", "x"],
      ["l", "b"],
    ];
    for (const place of places) {
      await mine.store.putItem(place, "k1", {});
      await mine.store.putItem(place, "k2", {});
    }
    const listed = async (options: Parameters<Client["store"]["listNamespaces"]>[0]) =>
      (await mine.store.listNamespaces({ prefix: ["l"], ...options })).namespaces;
    expect(await listed({})).toEqual([
      ["l", "a", "x"],
      ["l", "a", "y", "x"],
      ["l", "b"],
      ["l", "b", "x"],
    ]);
    expect(await listed({ prefix: ["l", "a"] })).toEqual([
      ["l", "a", "x"],
      ["l", "a", "y", "x"],
    ]);
    expect(await listed({ suffix: ["x"] })).toHaveLength(3);
    expect(await listed({ prefix: ["l", "*", "x"] })).toEqual([
      ["l", "a", "x"],
      ["l", "b", "x"],
    ]);
    expect(await listed({ suffix: ["a", "*"] })).toEqual([["l", "a", "x"]]);
    expect(await listed({ maxDepth: 2 })).toEqual([
      ["l", "a"],
      ["l", "b"],
    ]);
    expect(await listed({ limit: 2, offset: 1 })).toEqual([
      ["l", "a", "y", "x"],
      ["l", "b"],
    ]);
  });
});

describe("a tenant", () => {
  it("neither sees nor changes what another one stores, over HTTP and inside a graph", async () => {
    const { stop } = runtime.work();
    await mine.store.putItem(["visits"], "count", { n: 41 });
    const visit = async (client: Client): Promise<unknown[]> => {
      const { log } = (await client.runs.wait(null, "any", { input: {} })) as { log: string[] };
      return log.map((line) => JSON.parse(line));
    };
    expect((await visit(yours))[0]).toEqual({ n: 1 });
    const [count, [namespaces, found]] = (await visit(yours)) as [unknown, [unknown, unknown]];
    expect(count).toEqual({ n: 2 });
    expect(namespaces).toEqual([["notes", "b"], ["visits"]]);
    expect(found).toEqual([{ key: "b", value: { text: "b" } }]);
    expect((await visit(mine))[0]).toEqual({ n: 42 });
    await stop(2_000);

    expect((await yours.store.getItem(["visits"], "count"))?.value).toEqual({ n: 2 });
    expect((await mine.store.getItem(["visits"], "count"))?.value).toEqual({ n: 42 });
    expect((await yours.store.listNamespaces()).namespaces).toEqual([["notes", "b"], ["visits"]]);
    expect((await keysBelow(yours, [])).sort()).toEqual(["b", "count"]);
    expect(await keysBelow(yours, ["mine"])).toEqual([]);
    await yours.store.deleteItem(["visits"], "count");
    expect((await mine.store.getItem(["visits"], "count"))?.value).toEqual({ n: 42 });
  });
});

describe("a bad request", () => {
  const send = async (method: string, path: string, body?: unknown): Promise<[number, string]> => {
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(runtime.db, { keyId: newId(), tenant: "bad", name: "bad", prefix, hash });
    const response = await fetch(`${tenants.url}${path}`, {
      method,
      headers: { "content-type": "application/json", "x-api-key": key },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return [response.status, await response.text()];
  };
  const put = (fields: object) =>
    send("PUT", "/store/items", { namespace: ["a"], key: "k", value: {}, ...fields });

  it("with labels that are empty or hold a period is 422, in the words of the Agent Server", async () => {
    const words = "Namespace labels cannot be empty or contain periods. Received: ";
    expect(await put({ namespace: ["a", "b.c"] })).toEqual([422, `${words}a.b.c`]);
    expect(await put({ namespace: [""] })).toEqual([422, words]);
    expect(await send("GET", "/store/items?namespace=a..b&key=k")).toEqual([422, `${words}a..b`]);
    expect(await send("DELETE", "/store/items", { namespace: ["."], key: "k" })).toEqual([422, `${words}.`]);
    const search = { namespace_prefix: ["x."] };
    expect(await send("POST", "/store/items/search", search)).toEqual([422, `${words}x.`]);
    expect(await send("POST", "/store/namespaces", { suffix: [""] })).toEqual([422, words]);
    expect(await put({ namespace: [] })).toEqual([400, "Namespace is required"]);
    expect((await put({ namespace: ["langgraph", "x"] }))[0]).toBe(422);
  });

  it.each([
    { fields: { key: "k".repeat(keyBytesMax + 1) }, names: "key" },
    { fields: { key: "é".repeat(keyBytesMax / 2 + 1) }, names: "key" },
    { fields: { namespace: Array(namespaceLabelsMax + 1).fill("a") }, names: "32 labels" },
    { fields: { namespace: ["a".repeat(namespaceBytesMax + 1)] }, names: "1024 bytes" },
    { fields: { value: [] }, names: "value" },
    { fields: { value: null }, names: "value" },
    { fields: { ttl: 0 }, names: "ttl" },
    { fields: { ttl: 1e9 }, names: "ttl" },
    { fields: { index: true }, names: "index" },
  ])("to put names the field: $names", async ({ fields, names }) => {
    const [status, text] = await put(fields);
    expect(status).toBe(422);
    expect(text).toContain(names);
  });

  it("with the largest key and namespace that are allowed is none", async () => {
    const label = "ä".repeat(namespaceBytesMax / namespaceLabelsMax / 2);
    const largest = { namespace: Array(namespaceLabelsMax).fill(label), key: "k".repeat(keyBytesMax) };
    expect(await put(largest)).toEqual([204, ""]);
  });

  it.each([
    { body: { limit: 0 }, names: "limit" },
    { body: { limit: 1_001 }, names: "limit" },
    { body: { offset: -1 }, names: "offset" },
    { body: { filter: { price: { $near: 1 } } }, names: "filter.price" },
    { body: { filter: { price: { $in: 1 } } }, names: "filter.price" },
    { body: { filter: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [n, 1])) }, names: "filter" },
    { body: { namespace_prefix: "a" }, names: "namespace_prefix" },
  ])("to search names the field: $names", async ({ body, names }) => {
    const [status, text] = await send("POST", "/store/items/search", body);
    expect([status, text]).toEqual([422, expect.stringContaining(names)]);
  });

  it("without a key, or with one that is no text, is 422", async () => {
    expect((await send("GET", "/store/items?namespace=a"))[0]).toBe(422);
    expect((await send("GET", "/store/items?namespace=a&key=%00"))[0]).toBe(422);
    expect((await send("GET", "/store/items?namespace=a&key=k&refresh_ttl=perhaps"))[0]).toBe(422);
    expect(await send("GET", "/store/items?key=k")).toEqual([200, "null"]);
  });
});

// Last: the clock stands still from here on.
describe("a time to live", () => {
  it("ends an item, unless reading it puts the end off; what is past its end is swept", async () => {
    const at = (minutes: number): void => {
      runtime.clock.set(new Date(Date.UTC(2040, 0, 1, 0, 0, 0) + minutes * 60_000));
    };
    const read = (key: string, refreshTtl?: boolean) =>
      mine.store.getItem(["ttl"], key, refreshTtl === undefined ? {} : { refreshTtl });
    at(0);
    await pruneOnce(runtime);
    for (const key of ["read", "looked-at", "searched"])
      await mine.store.putItem(["ttl"], key, {}, { ttl: 10 });
    await mine.store.putItem(["ttl"], "kept", {}, { ttl: 10 });
    await mine.store.putItem(["ttl"], "kept", {});
    at(9);
    expect(await read("read")).not.toBeNull();
    expect(await read("looked-at", false)).not.toBeNull();
    expect(await keysBelow(mine, ["ttl"], { filter: { no: 1 } })).toEqual([]);
    expect(await keysBelow(mine, ["ttl"], { refreshTtl: false })).toHaveLength(4);
    at(11);
    expect((await keysBelow(mine, ["ttl"])).sort()).toEqual(["kept", "read"]);
    expect(await read("looked-at")).toBeNull();
    at(20);
    expect((await keysBelow(mine, ["ttl"])).sort()).toEqual(["kept", "read"]);
    expect((await pruneOnce(runtime)).items).toBe(2);
    expect((await pruneOnce(runtime)).items).toBe(0);
    at(31);
    expect(await keysBelow(mine, ["ttl"])).toEqual(["kept"]);
    expect((await pruneOnce(runtime)).items).toBe(1);
  });

  it("is swept page by page", async () => {
    await rowsOf(
      runtime,
      `insert into holdfast.store_items (tenant, namespace, key, value, ttl_minutes, expires_at)
       select 'mine', '{old}', n::text, '{}', 1, '2000-01-01' from generate_series(1, 5001) n`,
    );
    expect((await pruneOnce(runtime)).items).toBe(5_001);
    expect((await pruneOnce(runtime)).items).toBe(0);
  });
});
