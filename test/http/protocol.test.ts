import { readFile } from "node:fs/promises";
import path from "node:path";
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId } from "../../src/domain/ids.ts";
import {
  allChannels,
  type Frame,
  isRootEnd,
  type ProtocolServer,
  readEvents,
  startProtocolServer,
} from "../support/protocol.ts";

let server: ProtocolServer;
let client: Client;
beforeAll(async () => {
  server = await startProtocolServer();
  server.runtime.work();
  client = new Client({ apiUrl: server.url, callerOptions: { maxRetries: 0 } });
});
afterAll(() => server.close());

/** A neighbour may be using the machine. */
const patient = { timeout: 20_000 };

const human = (content: string) => ({ messages: [{ role: "human", content }] });

async function start(assistant_id: string, input: unknown, threadId = newId()): Promise<string> {
  const answer = await server.command(threadId, "run.start", { assistant_id, input });
  expect(answer).toMatchObject({ type: "success", result: { run_id: expect.any(String) } });
  return threadId;
}
const endsOf = (frames: Frame[]): string[] => frames.filter(isRootEnd).map(({ params }) => params.data.event);
const ended = (times: number) => (frames: Frame[]) => endsOf(frames).length === times;
const idOf = ({ event_id }: Frame): string => event_id;
async function questionOf(threadId: string, times = 1): Promise<string> {
  const frames = await readEvents(server.url, threadId, { until: ended(times) });
  return frames.filter(({ method }) => method === "input.requested").at(-1)?.params.data.interrupt_id;
}

/**
 * Without ids and times, and without the metadata that each server has its own of. A tool's output is told before the
 * state gives it an id; the recording was written later.
 */
function plain(frames: Frame[]): unknown[] {
  const kept = frames.map(({ method, params: { timestamp: _when, ...params } }) => ({ method, ...params }));
  const text = JSON.stringify(kept, (key, value) =>
    key === "metadata" ? undefined : key === "output" ? { ...value, id: undefined } : value,
  );
  return JSON.parse(
    text.replaceAll(/(run-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}/g, "<id>"),
  ) as unknown[];
}

describe("the newer streaming protocol", () => {
  it.each([
    ["agent_with_tools", "agent_with_tools", human("weather?")],
    ["interrupt", "agent", { ...human("hi"), interrupt: true }],
    ["subgraphs-nested", "nested", { messages: ["x"] }],
  ])("streams what the dev server was recorded to stream: %s", async (file, graph, input) => {
    const recorded = await readFile(path.join(import.meta.dirname, "recorded", `${file}.jsonl`), "utf8");
    const expected = recorded
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Frame);
    const frames = await readEvents(server.url, await start(graph, input));
    expect(plain(frames)).toEqual(plain(expected));
  });

  it("goes on from any event that a client shows, by id or number, in another process", async () => {
    const other = await server.another();
    const threadId = await start("talker", human("0"));
    await readEvents(server.url, threadId);
    await server.command(threadId, "run.start", { assistant_id: "custom", input: { messages: ["x"] } });
    const all = await readEvents(server.url, threadId, { until: ended(2) });
    expect(all.map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq).sort((a, b) => a - b));
    expect(new Set(all.map(idOf)).size).toBe(all.length);
    for (const [n, { event_id, seq }] of all.entries()) {
      const rest = all.slice(n + 1);
      const until = (frames: Frame[]) => frames.length >= rest.length;
      const from = [
        { headers: { "last-event-id": event_id } },
        { filter: { channels: allChannels, since: seq } },
        { filter: { channels: allChannels, since_event_id: event_id } },
      ][n % 3];
      expect(await readEvents(other, threadId, { ...from, until }), `after ${event_id}`).toEqual(rest);
    }
    const filter = { channels: allChannels, since: 0 };
    expect(await readEvents(other, threadId, { filter, until: ended(2) })).toEqual(all);
  });

  it("says that an event is unknown, and sends everything", async () => {
    const threadId = await start("custom", { messages: ["x"] });
    const all = await readEvents(server.url, threadId);
    const headers = { "last-event-id": "999-3" };
    expect(await readEvents(server.url, threadId, { headers })).toEqual(all);
    const response = await fetch(`${server.url}/threads/${threadId}/stream/events`, {
      method: "POST",
      headers,
      body: JSON.stringify({ channels: ["values"] }),
    });
    const { value } = (await response.body?.pipeThrough(new TextDecoderStream()).getReader().read()) ?? {};
    expect(value).toMatch(/^event: reset\ndata: .*999-3/);
  });

  it("sends only the channels, namespaces and depths that were asked for", async () => {
    const threadId = await start("nested", { messages: ["x"] });
    const read = async (filter: Record<string, unknown>) => {
      const channels = [...(filter.channels as string[]), "lifecycle"];
      const frames = await readEvents(server.url, threadId, { filter: { ...filter, channels, since: 0 } });
      return frames.filter(({ method }) => method !== "lifecycle");
    };
    const names = (frames: Frame[]) => [
      ...new Set(frames.map(({ params }) => params.namespace.map((part) => part.split(":")[0]).join("/"))),
    ];
    await readEvents(server.url, threadId);
    expect(names(await read({ channels: ["values"] }))).toEqual(["", "gp_two", "gp_two/p_two"]);
    expect(names(await read({ channels: ["values"], namespaces: [[]], depth: 1 }))).toEqual(["", "gp_two"]);
    expect((await read({ channels: ["checkpoints"] })).every(({ method }) => method === "checkpoints")).toBe(
      true,
    );
    const told = await start("custom", { messages: ["x"] });
    const filter = { channels: ["custom:progress", "lifecycle"] };
    const [, progress, ...others] = await readEvents(server.url, told, { filter });
    expect(progress?.params.data).toEqual({ name: "progress", payload: 1 });
    expect(others.map(({ method }) => method)).toEqual(["lifecycle"]);
  });

  it("takes an answer once, for the question that it names", async () => {
    const threadId = await start("agent", { ...human("hi"), interrupt: true });
    const interrupt_id = await questionOf(threadId);
    const respond = (id: string) =>
      server.command(threadId, "input.respond", { namespace: [], interrupt_id: id, response: "yes" });
    expect(await respond("0".repeat(32))).toMatchObject({ type: "error", error: "no_such_interrupt" });
    expect(await respond("yes")).toMatchObject({ type: "error", error: "no_such_interrupt" });
    const both = await Promise.all([respond(interrupt_id), respond(interrupt_id)]);
    expect(both.map(({ type }) => type).sort()).toEqual(["error", "success"]);
    expect(both.find(({ type }) => type === "error")).toMatchObject({ error: "no_such_interrupt" });
    const frames = await readEvents(server.url, threadId, { until: ended(2) });
    expect(endsOf(frames)).toEqual(["interrupted", "completed"]);
    const values = frames.findLast(({ method }) => method === "values")?.params.data;
    expect(values.messages.at(-1)).toMatchObject({ type: "ai", content: "told: yes" });
    expect(await respond(interrupt_id)).toMatchObject({ type: "error", error: "no_such_interrupt" });
  });

  it("asks one question after the other from inside a subgraph, each in its namespace under an id of its own", async () => {
    const threadId = await start("nestedQuestion", { messages: ["x"] });
    const first = await questionOf(threadId);
    await server.command(threadId, "input.respond", { responses: [{ interrupt_id: first, response: "1" }] });
    const second = await questionOf(threadId, 2);
    expect(second).not.toBe(first);
    expect(
      await server.command(threadId, "input.respond", { interrupt_id: first, response: "?" }),
    ).toMatchObject({
      error: "no_such_interrupt",
    });
    await server.command(threadId, "input.respond", { interrupt_id: second, response: "2" });
    const frames = await readEvents(server.url, threadId, { until: ended(3) });
    const asked = frames.filter(({ method }) => method === "input.requested");
    expect(asked.map(({ params }) => params.data.payload)).toEqual(["first?", "second?"]);
    expect(asked.every(({ params }) => params.namespace[0]?.startsWith("gp_two:"))).toBe(true);
    const subgraph = frames.filter(
      ({ method, params }) => method === "lifecycle" && params.namespace.length > 0,
    );
    expect(subgraph.map(({ params }) => params.data.event)).toEqual([
      ...["started", "interrupted"],
      ...["started", "interrupted"],
      ...["started", "completed"],
    ]);
    expect(frames.findLast(({ method }) => method === "values")?.params.data.messages.slice(-2)).toEqual([
      "1",
      "2",
    ]);
  });

  it("takes the input of a run for a thread that waits as its answer", async () => {
    const threadId = await start("agent", { ...human("hi"), interrupt: true });
    await questionOf(threadId);
    await start("agent", "by input", threadId);
    const frames = await readEvents(server.url, threadId, { until: ended(2) });
    expect(JSON.stringify(frames.at(-2)?.params.data)).toContain("told: by input");
  });

  it("forks at a checkpoint", async () => {
    const threadId = await start("nested", { messages: ["x"] });
    const frames = await readEvents(server.url, threadId);
    const [checkpoint] = frames.filter(({ method }) => method === "checkpoints");
    const config = { configurable: { checkpoint_id: checkpoint?.params.data.id } };
    await server.command(threadId, "run.start", { assistant_id: "nested", input: null, config });
    const again = await readEvents(server.url, threadId, { until: ended(2) });
    const values = (list: Frame[]) => list.findLast(({ method }) => method === "values")?.params.data;
    expect(values(again.slice(frames.length))).toEqual(values(frames));
    const steps = again.slice(frames.length).filter(({ method }) => method === "updates");
    expect(steps.map(({ params }) => params.node).at(0)).toBe("gp_one");
    const missing = { configurable: { checkpoint_id: newId() } };
    const refused = await server.command(threadId, "run.start", { assistant_id: "nested", config: missing });
    expect(refused).toMatchObject({ type: "error", error: "invalid_argument" });
  });

  it("tells of a failure in a subgraph, and of the run's", async () => {
    const frames = await readEvents(server.url, await start("failing", { messages: ["x"] }));
    expect(
      frames.slice(-2).map(({ params: { namespace, data } }) => [namespace.length, data.event, data.error]),
    ).toEqual([
      [1, "failed", undefined],
      [0, "failed", "Boo!"],
    ]);
  });

  it("shows runs that were started otherwise, and the end of one that was cancelled", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "nested", { input: { messages: ["x"] } });
    const streamMode = ["values", "messages-tuple"] as ["values", "messages-tuple"];
    // Its model answers only in a stream: asked otherwise the run would end by itself, perhaps before the cancel.
    const run = await client.runs.create(thread_id, "talker", { input: human("60000"), streamMode });
    const following = readEvents(server.url, thread_id, { until: ended(2) });
    await expect
      .poll(async () => (await client.runs.get(thread_id, run.run_id)).status, patient)
      .toBe("running");
    await client.runs.cancel(thread_id, run.run_id, true);
    const frames = await following;
    expect(endsOf(frames)).toEqual(["completed", "interrupted"]);
    expect(frames.filter(({ method }) => method === "values").at(-1)?.params.data).toBeDefined();
    const last = await readEvents(server.url, thread_id, {
      headers: { "last-event-id": String(frames.at(-2)?.event_id) },
    });
    expect(last).toEqual(frames.slice(-1));
  });

  it("shows the state and the tree of a thread", async () => {
    const threadId = await start("nested", { messages: ["x"] });
    await readEvents(server.url, threadId);
    const state = await server.command(threadId, "state.get", { keys: ["messages"] });
    expect(state).toMatchObject({
      result: { values: { messages: expect.arrayContaining(["x"]) }, checkpoint: { ns: "" } },
    });
    expect(await server.command(threadId, "state.get", { keys: [] })).toMatchObject({
      result: { values: {} },
    });
    const { result } = (await server.command(threadId, "agent.getTree")) as {
      result: { tree: { status: string; children: { graph_name: string; children: unknown[] }[] } };
    };
    expect(result.tree).toMatchObject({ status: "completed", graph_name: "nested" });
    expect(result.tree.children[0]).toMatchObject({
      graph_name: "gp_two",
      children: [{ graph_name: "p_two" }],
    });
  });

  it("names what is wrong with a command or a filter", async () => {
    const threadId = newId();
    const errorOf = async (method: string, params?: unknown) => {
      const { type, error, message } = await server.command(threadId, method, params);
      expect(type).toBe("error");
      return [error, message];
    };
    expect(await errorOf("run.stop")).toEqual(["unknown_command", "Unknown protocol command: run.stop"]);
    expect(await errorOf("toString")).toEqual(["unknown_command", "Unknown protocol command: toString"]);
    expect(await errorOf("run.start", {})).toEqual([
      "invalid_argument",
      expect.stringMatching(/^assistant_id: /),
    ]);
    const strange = { assistant_id: "nested", multitaskStrategy: "hope" };
    expect(await errorOf("run.start", strange)).toEqual([
      "invalid_argument",
      expect.stringMatching(/^multitaskStrategy: /),
    ]);
    expect(await errorOf("run.start", { assistant_id: "nobody" })).toEqual([
      "invalid_argument",
      "Assistant not found",
    ]);
    expect(await errorOf("input.respond", {})).toEqual([
      "invalid_argument",
      expect.stringContaining("interrupt_id"),
    ]);
    expect(await errorOf("state.get")).toEqual(["no_such_run", expect.any(String)]);
    expect(await errorOf("agent.getTree")).toEqual(["no_such_run", expect.any(String)]);
    for (const filter of [
      { channels: ["values"], what: 1 },
      { channels: ["debug"] },
      { channels: [] },
      { channels: ["values"], since: -1 },
    ])
      await expect(readEvents(server.url, threadId, { filter }), JSON.stringify(filter)).rejects.toThrow(
        "422",
      );
    expect(await client.threads.search({ ids: [threadId] })).toEqual([]);
  });
});

describe("the SDK's thread stream", () => {
  it("starts a run, assembles its tokens, and gets its state", async () => {
    const thread = client.threads.stream({ assistantId: "talker" });
    const said: string[] = [];
    const listening = (async () => {
      for await (const message of thread.messages) for await (const text of message.text) said.push(text);
    })();
    await thread.run.start({ input: human("5") });
    expect(await thread.output).toMatchObject({ steps: ["first", "talk"] });
    await thread.close();
    await listening;
    expect(said.join("")).toBe("one two three");
    expect(said.length).toBeGreaterThan(1);
  });

  it("is interrupted, answers, and goes on", async () => {
    const thread = client.threads.stream({ assistantId: "agent" });
    await thread.run.start({ input: { ...human("hi"), interrupt: true } });
    await expect.poll(() => thread.interrupted, patient).toBe(true);
    const [asked] = thread.interrupts;
    expect(asked).toMatchObject({ payload: "i want to interrupt", namespace: [] });
    const seen: unknown[] = [];
    thread.onEvent((event) => seen.push(event));
    const values = await thread.subscribe({ channels: ["values"] });
    await thread.input.respond({ namespace: [], interrupt_id: String(asked?.interruptId), response: "fine" });
    await expect.poll(() => JSON.stringify(seen), patient).toContain("told: fine");
    await values.unsubscribe();
    await thread.close();
  });

  it("follows tools and subgraphs", async () => {
    const thread = client.threads.stream({ assistantId: "agent_with_tools" });
    // Asked for before the run begins: of one that has ended meanwhile the SDK closes its lists unread.
    const { toolCalls } = thread;
    await thread.run.start({ input: human("weather?") });
    const calls: unknown[] = [];
    for await (const call of toolCalls) {
      calls.push([call.name, await call.output]);
      break;
    }
    expect(calls).toEqual([["weather", expect.anything()]]);
    await thread.close();
    const nested = client.threads.stream({ assistantId: "nested" });
    const { subgraphs } = nested;
    await nested.run.start({ input: { messages: ["x"] } });
    const names: string[] = [];
    for await (const subgraph of subgraphs) {
      names.push(subgraph.name);
      break;
    }
    expect(names).toEqual(["gp_two"]);
    await nested.close();
  });
});
