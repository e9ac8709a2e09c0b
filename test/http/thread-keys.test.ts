import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { listen } from "../../src/http/listen.ts";
import { senderOf } from "../support/dead-letters.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";

let runtime: TestRuntime;
let second: TestRuntime;
const servers: Awaited<ReturnType<typeof listen>>[] = [];
/** Of the tenants `one` and `two`; the last is `one` again, over another process. */
let [one, two, elsewhere]: Client[] = [];

beforeAll(async () => {
  runtime = await startRuntime();
  second = await startRuntime({ url: runtime.url });
  runtime.work();
  for (const served of [runtime, second])
    servers.push(await listen({ app: senderOf(served).app, host: "127.0.0.1", port: 0 }));
  const keys: string[] = [];
  for (const tenant of ["one", "two"]) {
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(runtime.db, { keyId: newId(), tenant, name: tenant, prefix, hash });
    keys.push(key);
  }
  const clientOf = (server: number, key: number): Client =>
    new Client({
      apiUrl: String(servers[server]?.url),
      apiKey: String(keys[key]),
      callerOptions: { maxRetries: 0 },
    });
  [one, two, elsewhere] = [clientOf(0, 0), clientOf(0, 1), clientOf(1, 0)];
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await second.close();
  await runtime.close();
});

const start = { ifNotExists: "create", multitaskStrategy: "enqueue" } as const;
const of = (client: Client | undefined): Client => client as Client;

describe("a thread's own key", () => {
  it("stands wherever the SDK's client takes a thread's id, in every process, and makes the thread with its first run", async () => {
    const name = "key:+49 170/123 #4711 ü";
    const { threads, runs } = of(one);
    await expect(threads.get(name)).rejects.toThrow("404");
    const first = await runs.create(name, "steps", { input: { log: ["in"] }, ...start });
    await of(elsewhere).runs.join(name, first.run_id);
    const thread = await threads.get(name);
    expect(thread).toMatchObject({
      thread_id: first.thread_id,
      key: name.slice("key:".length),
      status: "idle",
    });
    expect(await of(elsewhere).threads.get(first.thread_id)).toEqual(thread);
    const values = await of(elsewhere).runs.wait(name, "steps", { input: { log: ["again"] } });
    expect(values).toMatchObject({ log: ["in", "a", "b", "c", "again", "a", "b", "c"] });
    expect(await threads.getState(name)).toMatchObject({ checkpoint: { thread_id: first.thread_id } });
    expect(await runs.list(name)).toHaveLength(2);
    expect(await threads.search({ ids: [first.thread_id] })).toMatchObject([{ key: name.slice(4) }]);
    const streamed: string[] = [];
    for await (const { event } of runs.stream(name, "steps", { input: {}, streamMode: "updates" }))
      streamed.push(event);
    expect(streamed).toEqual(["metadata", "updates", "updates", "updates"]);
  });

  it("stands in bodies and queries too, for its own tenant's thread only", async () => {
    const name = "key:in a body";
    const { threads, runs, crons } = of(one);
    const { thread_id } = await threads.create({ threadId: name });
    const late = await runs.create(name, "steps", { input: {}, afterSeconds: 3_600 });
    const cron = await crons.createForThread(name, "steps", { schedule: "0 0 1 1 *", input: {} });
    expect(await threads.search({ ids: [name] })).toMatchObject([{ thread_id }]);
    expect(await crons.search({ threadId: name })).toMatchObject([{ cron_id: cron.cron_id }]);
    await of(two).runs.cancelMany({ threadId: name, runIds: [late.run_id] });
    expect(await of(two).threads.search({ ids: [name] })).toEqual([]);
    expect(await runs.get(name, late.run_id)).toMatchObject({ status: "pending" });
    await runs.cancelMany({ threadId: name, runIds: [late.run_id] });
    expect(await runs.get(name, late.run_id)).toMatchObject({ status: "interrupted" });
    expect(await of(two).threads.prune([name])).toEqual({ pruned_count: 0 });
    expect(await threads.prune([name])).toEqual({ pruned_count: 1 });
    await expect(threads.prune(["key:"])).rejects.toThrow(/422.*thread_ids/s);
  });

  it("makes one thread, however many runs ask for it at once", async () => {
    const name = "key:a rush";
    const made = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        of([one, elsewhere][n % 2]).runs.create(name, "steps", { input: { log: [`${n}`] }, ...start }),
      ),
    );
    expect(new Set(made.map(({ thread_id }) => thread_id)).size).toBe(1);
    expect(await of(one).runs.list(name, { limit: 20 })).toHaveLength(8);
  });

  it("is given when a thread is made, once", async () => {
    const { threads } = of(one);
    const made = await threads.create({ threadId: "key:ticket-1", metadata: { a: 1 } });
    expect(made).toMatchObject({ key: "ticket-1", metadata: { a: 1 } });
    await expect(threads.create({ threadId: "key:ticket-1" })).rejects.toThrow("409");
    expect(await threads.create({ threadId: "key:ticket-1", ifExists: "do_nothing" })).toEqual(made);
    expect(await threads.copy("key:ticket-1")).not.toHaveProperty("key");
    expect(await threads.create()).not.toHaveProperty("key");
    await threads.delete("key:ticket-1");
    await expect(threads.get("key:ticket-1")).rejects.toThrow("404");
    expect(await threads.create({ threadId: "key:ticket-1" })).toMatchObject({ metadata: {} });
  });

  it("is its tenant's: the same one of another tenant is another thread", async () => {
    const name = "key:shared";
    const [mine, yours] = await Promise.all(
      [one, two].map((client) => of(client).threads.create({ threadId: name, metadata: { by: "me" } })),
    );
    expect(mine?.thread_id).not.toBe(yours?.thread_id);
    await of(two).threads.delete(name);
    expect(await of(one).threads.get(name)).toMatchObject({ thread_id: mine?.thread_id });
    await expect(of(two).threads.get(String(mine?.thread_id))).rejects.toThrow("404");
  });

  it("is waited for by the newer streaming protocol before its thread is there", async () => {
    const thread = of(one).threads.stream("key:live", { assistantId: "steps" });
    await thread.run.start({ input: { log: ["in"] } });
    expect(await thread.output).toMatchObject({ log: ["in", "a", "b", "c"] });
    await thread.close();
    expect(await of(one).threads.get("key:live")).toMatchObject({ key: "live" });
  });

  it.each(["key:", `key:${"x".repeat(201)}`, "key:a\u0007b", "ticket-4711"])(
    "is refused where it is none: %j",
    async (name) => {
      await expect(of(one).threads.get(name)).rejects.toThrow(/400.*thread_id/s);
      await expect(of(one).threads.create({ threadId: name })).rejects.toThrow(/422.*thread_id/s);
    },
  );
});
