import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Annotation, type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { newId } from "../../src/domain/ids.ts";
import { lifetimesOf, readProject } from "../../src/engine/project.ts";
import { senderOf } from "../support/dead-letters.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";

const began = new Date("2030-01-01T00:00:00Z");
const State = Annotation.Root({ done: Annotation<boolean>() });
const remembers = new StateGraph(State)
  .addNode("put", async (_state, config: LangGraphRunnableConfig) => {
    await config.store?.put(["graph"], "k", { at: "a node" });
    return { done: true };
  })
  .addEdge(START, "put")
  .compile();

/** What `ttl` of a langgraph.json comes to. */
async function told(parts: object) {
  const folder = await mkdtemp(path.join(tmpdir(), "holdfast-ttl-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = path.join(folder, "langgraph.json");
  await writeFile(file, JSON.stringify({ graphs: {}, ...parts }));
  return lifetimesOf(await readProject(file));
}

let runtime: TestRuntime;
let send: ReturnType<typeof senderOf>["send"];
beforeAll(async () => {
  const thread = { minutes: 60, strategy: "keep_latest" } as const;
  const lifetimes = { thread, itemMinutes: 30, refreshOnRead: false };
  runtime = await startRuntime({ registry: await registryOf("any", remembers), lifetimes });
  runtime.clock.set(began);
  runtime.work();
  send = senderOf(runtime).send;
});
afterAll(() => runtime.close());

const ttlOf = async (threadId: string) => (await send("GET", `/threads/${threadId}?include=ttl`)).json.ttl;
const putting = (key: string, more: object = {}) =>
  send("PUT", "/store/items", { namespace: ["http"], key, value: {}, ...more });
const itemAt = async (namespace: string, key = "k") =>
  (await send("GET", `/store/items?namespace=${namespace}&key=${key}`)).json;

describe("ttl of a langgraph.json", () => {
  it("ends threads that say nothing else, also those that a run makes", async () => {
    const made = async (body: object) => (await send("POST", "/threads", body)).json.thread_id;
    expect(await ttlOf(await made({}))).toMatchObject({ ttl_minutes: 60, strategy: "keep_latest" });
    expect(await ttlOf(await made({ ttl: 5 }))).toMatchObject({ ttl_minutes: 5, strategy: "delete" });
    expect(await ttlOf(await made({ ttl: null }))).toBeNull();
    const threadId = newId();
    const run = { assistant_id: "any", input: {}, if_not_exists: "create" };
    expect((await send("POST", `/threads/${threadId}/runs/wait`, run)).status).toBe(200);
    expect(await ttlOf(threadId)).toMatchObject({ ttl_minutes: 60, strategy: "keep_latest" });
  });

  it("ends items of the store that say nothing else, and reading puts it off only when asked to", async () => {
    await send("POST", "/runs/wait", { assistant_id: "any", input: {} });
    await putting("k");
    await putting("kept", { ttl: null });
    await putting("refreshed");
    runtime.clock.set(new Date(began.getTime() + 20 * 60_000));
    expect(await itemAt("graph")).toMatchObject({ value: { at: "a node" } });
    expect(await itemAt("http")).toMatchObject({ key: "k" });
    await send("POST", "/store/items/search", { namespace_prefix: ["http"] });
    await send("GET", "/store/items?namespace=http&key=refreshed&refresh_ttl=true");
    runtime.clock.set(new Date(began.getTime() + 40 * 60_000));
    expect(await itemAt("graph")).toBeNull();
    expect(await itemAt("http")).toBeNull();
    expect(await itemAt("http", "kept")).toMatchObject({ key: "kept" });
    expect(await itemAt("http", "refreshed")).toMatchObject({ key: "refreshed" });
  });

  it("keeps everything where it says nothing, and is refused by the name of its field", async () => {
    const forever = { thread: null, itemMinutes: null, refreshOnRead: true };
    expect(await told({})).toEqual(forever);
    const ttl = { default_ttl: 10, sweep_interval_minutes: 5 };
    expect(await told({ checkpointer: { ttl: { ...ttl, strategy: "keep_latest" } } })).toEqual({
      ...forever,
      thread: { minutes: 10, strategy: "keep_latest" },
    });
    const both = { checkpointer: { ttl }, store: { ttl: { ...ttl, refresh_on_read: false } } };
    expect(await told(both)).toEqual({
      thread: { minutes: 10, strategy: "delete" },
      itemMinutes: 10,
      refreshOnRead: false,
    });
    await expect(told({ store: { ttl: { default_ttl: -1 } } })).rejects.toThrow(/store\.ttl\.default_ttl/);
  });
});
