import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { listen } from "../../src/http/listen.ts";
import { senderOf } from "../support/dead-letters.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { signal } from "../support/scenario.ts";

let runtime: TestRuntime;
let server: Awaited<ReturnType<typeof listen>>;
let client: Client;
let sender: ReturnType<typeof senderOf>;

beforeAll(async () => {
  runtime = await startRuntime();
  runtime.work();
  sender = senderOf(runtime);
  server = await listen({ app: sender.app, host: "127.0.0.1", port: 0 });
  client = new Client({ apiUrl: server.url, callerOptions: { maxRetries: 0 } });
});
afterAll(async () => {
  await server.stop();
  await runtime.close();
});

interface Seen {
  id?: string;
  event: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  data: any;
}
type Mode = "run_modes" | "lifecycle" | "state_update";

/** The events of a thread's stream up to the one that `until` names. */
async function follow(
  threadId: string,
  { from = "-", modes = [], until }: { from?: string; modes?: Mode[]; until: (seen: Seen[]) => boolean },
): Promise<Seen[]> {
  const stop = new AbortController();
  const seen: Seen[] = [];
  const streamMode = modes.length === 0 ? {} : { streamMode: modes };
  const stream = client.threads.joinStream(threadId, {
    lastEventId: from,
    signal: stop.signal,
    ...streamMode,
  });
  for await (const event of stream) {
    seen.push(event as Seen);
    if (until(seen)) break;
  }
  stop.abort();
  return seen;
}
const isDone = ({ data }: Seen): boolean => data?.status === "run_done";
const doneTimes = (times: number) => (seen: Seen[]) => seen.filter(isDone).length === times;
const order = (id: string | undefined): number[] => String(id).split("-").map(Number);
function expectRising(seen: Seen[]): void {
  const ids = seen.map(({ id }) => order(id));
  const sorted = [...ids].sort(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d);
  expect(ids).toEqual(sorted);
  expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
}
async function run(threadId: string, log = "in"): Promise<void> {
  await client.runs.wait(threadId, "steps", { input: { log: [log] } });
}

describe("the stream of a thread", () => {
  it("follows one run after the other, and goes on from any event that a client shows", async () => {
    const { thread_id } = await client.threads.create();
    const following = follow(thread_id, { until: doneTimes(3) });
    for (const log of ["1", "2", "3"]) await run(thread_id, log);
    const all = await following;
    expectRising(all);
    const runs = (await client.runs.list(thread_id)).map(({ run_id }) => run_id).reverse();
    expect(all.filter(isDone).map(({ data }) => data.run_id)).toEqual(runs);
    expect(all.filter(({ event }) => event === "values")).toHaveLength(12);
    for (const [n, { id }] of all.slice(0, -1).entries()) {
      const rest = await follow(thread_id, {
        from: String(id),
        until: doneTimes(all.slice(n + 1).filter(isDone).length),
      });
      expect(rest, `after ${id}`).toEqual(all.slice(n + 1));
    }
  });

  it("gives the SDK's client nothing for a heartbeat", async () => {
    const app = createApp({
      ...runtime,
      config: { ...httpDefaults, version: "test", heartbeatSeconds: 0.02 },
      ready: async () => true,
    });
    const { thread_id } = await client.threads.create();
    const beats = signal();
    const counting = async (url: unknown, init: unknown): Promise<Response> => {
      const response = await app.request(new URL(String(url)).pathname, init as RequestInit);
      let heard = 0;
      const seen = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          if (new TextDecoder().decode(chunk).includes(": heartbeat")) heard += 1;
          if (heard === 3) beats.give();
          controller.enqueue(chunk);
        },
      });
      return new Response(response.body?.pipeThrough(seen) ?? null, response);
    };
    const beaten = new Client({ apiUrl: "http://here", callerOptions: { fetch: counting, maxRetries: 0 } });
    await run(thread_id, "1");
    const seen: unknown[] = [];
    const stop = new AbortController();
    for await (const event of beaten.threads.joinStream(thread_id, {
      lastEventId: "-",
      signal: stop.signal,
    })) {
      seen.push(event.event);
      if (!isDone(event as Seen)) continue;
      if (seen.filter((name) => name === "metadata").length > 2) break;
      await beats.given;
      await run(thread_id, "2");
    }
    stop.abort();
    expect(seen).not.toContain("");
  });

  it("shows only starts and ends with lifecycle", async () => {
    const { thread_id } = await client.threads.create();
    await run(thread_id);
    const seen = await follow(thread_id, { modes: ["lifecycle"], until: doneTimes(1) });
    expect(seen.map(({ event, data }) => [event, data.attempt ?? data.status])).toEqual([
      ["metadata", 1],
      ["metadata", "run_done"],
    ]);
  });

  it("shows states that are written by hand, in their place between the runs", async () => {
    const { thread_id } = await client.threads.create();
    const write = (log: string) =>
      client.threads.updateState(thread_id, { values: { log: [log] }, asNode: "c" });
    const following = follow(thread_id, {
      modes: ["lifecycle", "state_update"],
      until: (seen) => seen.filter(({ event }) => event === "state_update").length === 2,
    });
    await run(thread_id);
    await write("first");
    await run(thread_id);
    await write("second");
    const all = await following;
    expectRising(all);
    expect(all.map(({ event, data }) => data.state?.values.log.at(-1) ?? data.status ?? event)).toEqual([
      "metadata",
      "run_done",
      "first",
      "metadata",
      "run_done",
      "second",
    ]);
    expect(all[2]?.data).toMatchObject({
      thread_id,
      state: { next: [], values: { log: ["in", "a", "b", "c", "first"] } },
    });
    const rest = await follow(thread_id, {
      from: String(all[2]?.id),
      modes: ["state_update"],
      until: (seen) => seen.length === 1,
    });
    expect(rest).toEqual(all.slice(5));
  });

  it("puts a run that was accepted first but started last behind the others", async () => {
    const { thread_id } = await client.threads.create();
    const late = await client.runs.create(thread_id, "steps", { input: { log: ["late"] }, afterSeconds: 1 });
    await run(thread_id, "early");
    const seen = await follow(thread_id, { until: doneTimes(2) });
    expectRising(seen);
    expect(seen.filter(isDone).at(-1)?.data.run_id).toBe(late.run_id);
  });

  it("begins with what comes next where no event is shown, and says where to come back to", async () => {
    const { thread_id } = await client.threads.create();
    await run(thread_id, "old");
    const response = await sender.app.request(`/threads/${thread_id}/stream`);
    await run(thread_id, "new");
    const reader = (response.body as ReadableStream<Uint8Array>)
      .pipeThrough(new TextDecoderStream())
      .getReader();
    let text = "";
    while (!text.includes("run_done")) text += (await reader.read()).value ?? "";
    await reader.cancel();
    const [, newest] = (await client.runs.list(thread_id)).reverse();
    expect(text.match(/event: metadata\ndata: .*"run_id":"([^"]+)"/)?.[1]).toBe(newest?.run_id);
    const location = String(response.headers.get("location"));
    expect(location).toMatch(`/threads/${thread_id}/stream?after=`);
    const again = await sender.app.request(location);
    const first = (again.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    expect((await first.read()).value).toContain(String(newest?.run_id));
    await first.cancel();
  });

  it("begins with the run under way", async () => {
    const { thread_id } = await client.threads.create();
    const long = await client.runs.create(thread_id, "steps", { input: { log: ["in"], wait: 200 } });
    for await (const event of client.runs.joinStream(thread_id, long.run_id))
      if (event.event === "values") break;
    const seen = await follow(thread_id, { from: "", until: doneTimes(1) });
    expect(seen[0]).toMatchObject({ event: "metadata", data: { run_id: long.run_id } });
  });

  it("tells the end of a run that is rolled back while it is followed", async () => {
    const { thread_id } = await client.threads.create();
    const long = await client.runs.create(thread_id, "steps", { input: { log: ["in"], wait: 5_000 } });
    let asked: Promise<void> | undefined;
    const seen = await follow(thread_id, {
      until: (events) => {
        asked ??= client.runs.cancel(thread_id, long.run_id, false, "rollback");
        return doneTimes(1)(events);
      },
    });
    await asked;
    expect(seen.at(-1)?.data).toEqual({ status: "run_done", run_id: long.run_id });
    expectRising(seen);
  });

  it("ends when the thread is deleted", async () => {
    const { thread_id } = await client.threads.create();
    await run(thread_id);
    let deleted: Promise<void> | undefined;
    const seen = await follow(thread_id, {
      until: (events) => {
        if (events.some(isDone)) deleted ??= client.threads.delete(thread_id);
        return false;
      },
    });
    await deleted;
    expect(seen.some(isDone)).toBe(true);
  });

  it("starts again with a reset when the event shown is not one of the thread", async () => {
    const { thread_id } = await client.threads.create();
    await run(thread_id);
    for (const from of ["99-1", "what", "3"]) {
      const [first, second] = await follow(thread_id, { from, until: doneTimes(1) });
      expect(first).toMatchObject({ event: "reset" });
      expect(second).toMatchObject({ event: "metadata" });
    }
  });

  it("is not there for an unknown thread, for another tenant's or in an unknown mode", async () => {
    const { thread_id } = await client.threads.create();
    expect(await sender.send("GET", `/threads/${crypto.randomUUID()}/stream`)).toMatchObject({ status: 404 });
    const bad = await sender.send(
      "GET",
      `/threads/${thread_id}/stream?stream_mode=lifecycle&stream_mode=all`,
    );
    expect(bad).toMatchObject({ status: 422 });
    expect(bad.text).toContain("stream_mode");
    await runtime.db.query({
      text: "update holdfast.threads set tenant = 'other' where thread_id = $1",
      values: [thread_id],
    });
    expect(await sender.send("GET", `/threads/${thread_id}/stream`)).toMatchObject({ status: 404 });
  });
});
