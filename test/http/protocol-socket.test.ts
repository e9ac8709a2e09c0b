import { once } from "node:events";
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import {
  allChannels,
  type Frame,
  isRootEnd,
  type ProtocolServer,
  readEvents,
  sendCommand,
  startProtocolServer,
} from "../support/protocol.ts";

let server: ProtocolServer;
let mine: Record<string, string>;
let yours: Record<string, string>;
beforeAll(async () => {
  server = await startProtocolServer({ authRequired: true });
  server.runtime.work();
  const keyOf = async (tenant: string) => {
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(server.runtime.db, { keyId: newId(), tenant, name: tenant, prefix, hash });
    return { "x-api-key": key };
  };
  mine = await keyOf("mine");
  yours = await keyOf("yours");
});
afterAll(() => server.close());

/** A neighbour may be using the machine. */
const patient = { timeout: 20_000 };

const human = (content: string) => ({ messages: [{ role: "human", content }] });
type Message = Record<string, unknown> & { type: string };

/** A socket, with everything that came over it. */
async function open(threadId: string, { url = server.url, headers = mine } = {}) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/threads/${threadId}/stream/events`, { headers });
  const messages: Message[] = [];
  socket.on("message", (data) => messages.push(JSON.parse(String(data)) as Message));
  await once(socket, "open");
  let id = 0;
  const answerTo = (sent: number | null) =>
    messages.find((message) => message.type !== "event" && message.id === sent);
  return {
    messages,
    frames: () => messages.filter(({ type }) => type === "event") as unknown as Frame[],
    send: async (method: string, params?: unknown) => {
      id += 1;
      const sent = id;
      socket.send(JSON.stringify({ id: sent, method, params }));
      await expect.poll(() => answerTo(sent), patient).toBeDefined();
      return answerTo(sent) as Message & { result: Record<string, string> };
    },
    sendText: async (text: string) => {
      socket.send(text);
      await expect.poll(() => answerTo(null), patient).toBeDefined();
      return answerTo(null);
    },
    close: () => socket.close(),
  };
}

const threadOf = async (graph: string, input: unknown): Promise<string> => {
  const threadId = newId();
  const params = { assistant_id: graph, input };
  expect(await sendCommand(server.url, threadId, { method: "run.start", params }, mine)).toMatchObject({
    type: "success",
  });
  return threadId;
};

describe("the newer streaming protocol over WebSocket", () => {
  it("serves the SDK's thread stream: tokens, the question, the answer", async () => {
    const client = new Client({ apiUrl: server.url, apiKey: null, streamProtocol: "v2-websocket" });
    const webSocketFactory = (url: string) =>
      new WebSocket(url, { headers: mine }) as unknown as globalThis.WebSocket;
    const talker = client.threads.stream({ assistantId: "talker", webSocketFactory });
    const said: string[] = [];
    const listening = (async () => {
      for await (const message of talker.messages) for await (const text of message.text) said.push(text);
    })();
    await talker.run.start({ input: human("5") });
    expect(await talker.output).toMatchObject({ steps: ["first", "talk"] });
    await talker.close();
    await listening;
    expect(said.join("")).toBe("one two three");
    const thread = client.threads.stream({ assistantId: "agent", webSocketFactory });
    const seen: unknown[] = [];
    thread.onEvent((event) => seen.push(event));
    await thread.run.start({ input: { ...human("hi"), interrupt: true } });
    await expect.poll(() => thread.interrupted, patient).toBe(true);
    const interrupt_id = String(thread.interrupts[0]?.interruptId);
    await thread.input.respond({ namespace: [], interrupt_id, response: "fine" });
    await expect.poll(() => JSON.stringify(seen), patient).toContain("told: fine");
    await thread.close();
  });

  it("sends every subscription its events in order, those of before it as well, and each event once", async () => {
    const threadId = newId();
    const socket = await open(threadId);
    await socket.send("subscription.subscribe", { channels: ["lifecycle"] });
    await socket.send("run.start", { assistant_id: "nested", input: { messages: ["x"] } });
    await expect.poll(() => socket.frames().some(isRootEnd), patient).toBe(true);
    const { result } = await socket.send("subscription.subscribe", {
      channels: ["values"],
      namespaces: [[]],
      depth: 0,
    });
    const valuesOf = (frames: Frame[]) => frames.filter(({ method }) => method === "values");
    await expect.poll(() => valuesOf(socket.frames()).length, patient).toBe(3);
    await socket.send("subscription.subscribe", { channels: ["values", "lifecycle"] });
    await socket.send("run.start", { assistant_id: "nested", input: { messages: ["y"] } });
    await expect.poll(() => socket.frames().filter(isRootEnd).length, patient).toBeGreaterThan(2);
    const second = socket
      .frames()
      .slice(socket.frames().findIndex(({ event_id }) => event_id.startsWith("2-")));
    const ids = second.map(({ event_id }) => event_id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(second.map(({ seq }) => seq)).toEqual(second.map(({ seq }) => seq).sort((a, b) => a - b));
    const { subscription_id } = result;
    expect(await socket.send("subscription.unsubscribe", { subscription_id })).toMatchObject({
      type: "success",
    });
    expect(await socket.send("subscription.unsubscribe", { subscription_id })).toMatchObject({
      error: "no_such_subscription",
    });
    socket.close();
  });

  it("goes on from the event that a client shows, in another process", async () => {
    const threadId = await threadOf("talker", human("0"));
    const all = await readEvents(server.url, threadId, { headers: mine });
    const other = await server.another();
    for (const [n, { event_id, seq }] of [...all.entries()].filter(([at]) => at % 5 === 0)) {
      const socket = await open(threadId, { url: other });
      const since = n % 2 === 0 ? { since: seq } : { since_event_id: event_id };
      await socket.send("subscription.subscribe", { channels: allChannels, ...since });
      await expect.poll(() => socket.frames().length, patient).toBe(all.length - n - 1);
      expect(socket.frames()).toEqual(all.slice(n + 1));
      socket.close();
    }
  });

  it("names what is wrong, and goes on", async () => {
    const socket = await open(newId());
    expect(await socket.sendText("{")).toMatchObject({
      error: "invalid_argument",
      message: expect.stringContaining("JSON"),
    });
    expect(await socket.send("subscription.subscribe", { channels: ["debug"] })).toMatchObject({
      error: "invalid_argument",
    });
    expect(await socket.send("subscription.subscribe", { channels: ["values"], x: 1 })).toMatchObject({
      error: "invalid_argument",
    });
    expect(await socket.send("subscription.reconnect")).toMatchObject({ error: "not_supported" });
    expect(await socket.send("run.start", { assistant_id: "nobody" })).toMatchObject({
      error: "invalid_argument",
    });
    socket.close();
    const response = await fetch(`${server.url}/threads/${newId()}/stream/events`, { headers: mine });
    expect(response.status).toBe(426);
    await expect(open(newId(), { headers: {} })).rejects.toThrow("401");
  });
});

describe("another tenant", () => {
  it("gets nothing of a thread, by no way of the newer streaming protocol", async () => {
    const threadId = await threadOf("agent", { ...human("secret"), interrupt: true });
    const frames = await readEvents(server.url, threadId, { headers: mine });
    const asked = frames.find(({ method }) => method === "input.requested")?.params.data.interrupt_id;
    const socket = await open(threadId, { headers: yours });
    await socket.send("subscription.subscribe", { channels: allChannels, since: 0 });
    const stop = new AbortController();
    const response = await fetch(`${server.url}/threads/${threadId}/stream/events`, {
      method: "POST",
      headers: yours,
      body: JSON.stringify({ channels: allChannels, since: 0 }),
      signal: stop.signal,
    });
    const answers = [];
    for (const [method, params] of [
      ["state.get", {}],
      ["agent.getTree", {}],
      ["input.respond", { interrupt_id: asked, response: "stolen" }],
      ["run.start", { assistant_id: "agent", input: human("mine now") }],
    ] as const) {
      answers.push(await sendCommand(server.url, threadId, { method, params }, yours));
      answers.push(await socket.send(method, params));
    }
    expect(answers.map(({ type }) => type)).toEqual(answers.map(() => "error"));
    await sendCommand(
      server.url,
      threadId,
      { method: "input.respond", params: { interrupt_id: asked, response: "fine" } },
      mine,
    );
    const after = await readEvents(server.url, threadId, {
      headers: mine,
      until: (seen) => seen.filter(isRootEnd).length === 2,
    });
    expect(JSON.stringify(after.at(-2))).toContain("told: fine");
    expect(socket.frames()).toEqual([]);
    expect(JSON.stringify([answers, socket.messages])).not.toMatch(/secret|want to interrupt/);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toMatch(/^(: heartbeat\n)+$/);
    stop.abort();
    socket.close();
  });
});
