import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { listen } from "../../src/http/listen.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";

let runtime: TestRuntime;
let server: Awaited<ReturnType<typeof listen>>;
let client: Client;

beforeAll(async () => {
  runtime = await startRuntime();
  runtime.work();
  const app = createApp({
    ...runtime,
    config: { ...httpDefaults, version: "test" },
    ready: async () => true,
  });
  server = await listen({ app, host: "127.0.0.1", port: 0 });
  client = new Client({ apiUrl: server.url });
});
afterAll(async () => {
  await server.stop();
  await runtime.close();
});

async function collect(stream: AsyncIterable<{ id?: string; event: string; data: unknown }>) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

describe("the SDK's client, unpatched", () => {
  it("starts a run, waits for the question, sees it in the state, and resumes", async () => {
    const thread = await client.threads.create({ metadata: { customer: "c1" } });
    const asked = (await client.runs.wait(thread.thread_id, "approval", { input: {} })) as Record<
      string,
      unknown
    >;
    expect(asked).toMatchObject({ log: ["draft"], __interrupt__: [{ value: "ok?" }] });
    const state = await client.threads.getState(thread.thread_id);
    expect(state.next).toEqual(["gate"]);
    expect(state.tasks[0]?.interrupts[0]?.value).toBe("ok?");
    expect((await client.threads.get(thread.thread_id)).status).toBe("interrupted");
    const done = await client.runs.wait(thread.thread_id, "approval", { command: { resume: "yes" } });
    expect(done).toEqual({ log: ["draft", "gate:yes", "pay"] });
    const history = await client.threads.getHistory(thread.thread_id);
    expect(history.map((entry) => entry.next)).toEqual([[], ["pay"], ["gate"], ["draft"], ["__start__"]]);
    expect(await client.threads.search({ metadata: { customer: "c1" } })).toHaveLength(1);
  });

  it("streams a run, and joins its stream again from any event", async () => {
    const thread = await client.threads.create();
    const events = await collect(
      client.runs.stream(thread.thread_id, "steps", {
        input: { log: ["in"] },
        streamMode: ["values", "updates"],
      }) as never,
    );
    expect(events.map((event) => event.event)).toEqual([
      "metadata",
      "values",
      "updates",
      "values",
      "updates",
      "values",
      "updates",
      "values",
    ]);
    const run_id = String((events[0]?.data as { run_id: string } | undefined)?.run_id);
    for (let from = -1; from < events.length; from += 1) {
      const joined = await collect(
        client.runs.joinStream(thread.thread_id, run_id, { lastEventId: String(from) }) as never,
      );
      expect(joined, `after event ${from}`).toEqual(events.slice(from + 1));
    }
    expect(await client.runs.join(thread.thread_id, run_id)).toEqual({ log: ["in", "a", "b", "c"] });
  });

  it("cancels a run that works, and one that waits", async () => {
    const thread = await client.threads.create();
    const long = await client.runs.create(thread.thread_id, "steps", { input: { wait: 5_000 } });
    const behind = await client.runs.create(thread.thread_id, "steps", {
      input: {},
      multitaskStrategy: "enqueue",
    });
    await client.runs.cancel(thread.thread_id, behind.run_id);
    await client.runs.cancel(thread.thread_id, long.run_id, true);
    const runs = await client.runs.list(thread.thread_id);
    expect(runs.map((run) => run.status)).toEqual(["interrupted", "interrupted"]);
  });

  it("obeys the four multitask strategies", async () => {
    const busy = async () => {
      const { thread_id } = await client.threads.create();
      const first = await client.runs.create(thread_id, "steps", { input: { log: ["first"], wait: 400 } });
      const next = (multitaskStrategy: "reject" | "enqueue" | "interrupt" | "rollback") =>
        client.runs.create(thread_id, "steps", { input: { log: ["second"], wait: 0 }, multitaskStrategy });
      const statusOf = async () => (await client.runs.get(thread_id, first.run_id)).status;
      return { thread_id, first, next, statusOf };
    };
    const rejecting = await busy();
    await expect(rejecting.next("reject")).rejects.toThrow("already running a task");
    const enqueuing = await busy();
    const second = await enqueuing.next("enqueue");
    await client.runs.join(enqueuing.thread_id, second.run_id);
    expect(await enqueuing.statusOf()).toBe("success");
    const interrupting = await busy();
    const after = await interrupting.next("interrupt");
    await client.runs.join(interrupting.thread_id, after.run_id);
    expect(await interrupting.statusOf()).toBe("interrupted");
    const rolling = await busy();
    const instead = await rolling.next("rollback");
    expect(await client.runs.join(rolling.thread_id, instead.run_id)).toEqual({
      log: ["second", "a", "b", "c"],
      wait: 0,
    });
    await expect(rolling.statusOf()).rejects.toThrow("Run not found");
  });

  it("runs without a thread, and updates, forks and deletes one", async () => {
    expect(await client.runs.wait(null, "steps", { input: { log: ["x"] } })).toEqual({
      log: ["x", "a", "b", "c"],
    });
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "steps", { input: {} });
    await client.threads.updateState(thread_id, { values: { log: ["by hand"] }, asNode: "a" });
    const state = await client.threads.getState(thread_id);
    expect(state).toMatchObject({ values: { log: ["a", "b", "c", "by hand"] }, next: ["b"] });
    const [, , early] = (await client.threads.getHistory(thread_id)).slice(-3);
    const forked = await client.runs.wait(thread_id, "steps", {
      input: { log: ["fork"] },
      checkpointId: early?.checkpoint.checkpoint_id ?? "",
    });
    expect((forked as { log: string[] }).log.slice(-3)).toEqual(["a", "b", "c"]);
    await client.threads.delete(thread_id);
    await expect(client.threads.get(thread_id)).rejects.toThrow("404");
  });
});
