import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { serve } from "@hono/node-server";
import { HumanMessage } from "@langchain/core/messages";
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRegistry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";

let runtime: TestRuntime;
let server: Server;
let url: string;
let client: Client;

beforeAll(async () => {
  const file = path.resolve(import.meta.dirname, "../graphs/http/langgraph.json");
  runtime = await startRuntime({ registry: await loadRegistry(file, (module) => import(module)) });
  runtime.work();
  const config = { ...httpDefaults, version: "0.0.0-test" };
  const app = createApp({ ...runtime, config, ready: async () => true });
  server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as Server;
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = new Client({ apiUrl: url, callerOptions: { maxRetries: 0 } });
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await runtime.close();
});

const newThread = async (): Promise<string> => (await client.threads.create()).thread_id;

async function collect(stream: AsyncIterable<{ event: string; data: unknown; id?: string }>) {
  const events: { event: string; data: unknown; id?: string }[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

describe("the SDK client", () => {
  it("streams a run and joins it again from its middle", async () => {
    const thread = await newThread();
    let created: { run_id: string } | undefined;
    const events = await collect(
      client.runs.stream(thread, "steps", {
        input: { seen: ["in"] },
        streamMode: ["values", "updates"],
        onRunCreated: (run) => {
          created = run as { run_id: string };
        },
      }),
    );
    expect(events.map(({ event }) => event)).toEqual([
      "metadata",
      "values",
      "updates",
      "values",
      "updates",
      "values",
    ]);
    expect(events.at(-1)?.data).toEqual({ seen: ["in", "one", "two"] });
    const runId = created?.run_id ?? "";
    const rest = await collect(client.runs.joinStream(thread, runId, { lastEventId: events[2]?.id ?? "" }));
    expect(rest.map(({ id }) => id)).toEqual(events.slice(3).map(({ id }) => id));
    expect((await client.runs.get(thread, runId)).status).toBe("success");
  });

  it("closes a stream when its run has ended, without waiting for the next poll or beat", async () => {
    const rare = { ...httpDefaults, version: "0.0.0-test", pollMillis: 600_000, heartbeatSeconds: 600 };
    const app = createApp({ ...runtime, config: rare, ready: async () => true });
    const response = await app.request("/runs/stream", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ assistant_id: "steps", input: {}, stream_mode: "values" }),
    });
    expect(await response.text()).toContain('"seen":["one","two"]');
  });

  it("waits for values, sends messages as objects, and reads them back flat", async () => {
    const thread = await newThread();
    const input = { messages: [new HumanMessage({ content: "hi", id: "m1" })] };
    const values = (await client.runs.wait(thread, "chat", { input })) as {
      messages: { type: string; content: string }[];
    };
    expect(values.messages.map(({ type, content }) => [type, content])).toEqual([
      ["human", "hi"],
      ["ai", "you said hi"],
    ]);
    const state = await client.threads.getState<typeof values>(thread);
    expect(state.values).toEqual(values);
    expect(state.next).toEqual([]);
    const history = await client.threads.getHistory(thread);
    expect(history.map((item) => item.next)).toEqual([[], ["reply"], ["__start__"]]);
    expect((await client.threads.get(thread)).values).toEqual(values);
  });

  it("runs without a thread, and gets the error of a failed run", async () => {
    expect(await client.runs.wait(null, "steps", { input: {} })).toEqual({ seen: ["one", "two"] });
    await expect(client.runs.wait(null, "fails", { input: {} })).rejects.toThrow("Boo!");
    const events = await collect(client.runs.stream(null, "fails", { input: {} }));
    expect(events.at(-1)).toMatchObject({ event: "error", data: { error: "TypeError", message: "Boo!" } });
  });

  it("answers one question after the other, each by its own id", async () => {
    const thread = await newThread();
    const first = (await client.runs.wait(thread, "asks", { input: {} })) as {
      __interrupt__: { id: string; value: unknown }[];
    };
    expect(first.__interrupt__).toEqual([{ id: expect.stringMatching(/^[0-9a-f]{32}$/), value: "first?" }]);
    const state = await client.threads.getState(thread);
    expect(state.tasks[0]?.interrupts).toEqual(first.__interrupt__);
    expect((await client.threads.get(thread)).status).toBe("interrupted");
    const answer = { [first.__interrupt__[0]?.id ?? ""]: "A" };
    const second = (await client.runs.wait(thread, "asks", { command: { resume: answer } })) as typeof first;
    expect(second.__interrupt__).toEqual([{ id: expect.any(String), value: "second?" }]);
    expect(second.__interrupt__[0]?.id).not.toBe(first.__interrupt__[0]?.id);
    await expect(client.runs.create(thread, "asks", { command: { resume: answer } })).rejects.toThrow(/409/);
    const end = (await client.runs.wait(thread, "asks", { command: { resume: "B" } })) as { answer: unknown };
    expect(end.answer).toEqual(["A", "B"]);
    const history = await client.threads.getHistory(thread);
    const asked = history.flatMap((item) => item.tasks.flatMap((task) => task.interrupts));
    expect(asked).toEqual(second.__interrupt__);
  });

  it("sees a question of a subgraph under one id everywhere", async () => {
    const thread = await newThread();
    const values = (await client.runs.wait(thread, "nested", { input: {} })) as {
      __interrupt__: { id: string }[];
    };
    const id = values.__interrupt__[0]?.id;
    const deep = await client.threads.getState(thread, undefined, { subgraphs: true });
    expect(deep.tasks[0]?.interrupts[0]?.id).toBe(id);
    expect(deep.tasks[0]?.state?.tasks[0]?.interrupts[0]?.id).toBe(id);
    const flat = await client.threads.getState(thread);
    expect(flat.tasks[0]).toMatchObject({
      state: null,
      checkpoint: { thread_id: thread, checkpoint_ns: expect.stringMatching(/^outer:/) },
    });
    expect(Object.values((await client.threads.get(thread)).interrupts).flat()[0]?.id).toBe(id);
    const streamed = await collect(
      client.runs.joinStream(thread, (await client.runs.list(thread))[0]?.run_id ?? ""),
    );
    expect(JSON.stringify(streamed.at(-1)?.data)).toContain(id);
    await client.runs.wait(thread, "nested", { command: { resume: "yes" } });
    const history = await client.threads.getHistory(thread);
    expect(
      history.flatMap((item) => item.tasks.flatMap((task) => task.interrupts)).map((asked) => asked.id),
    ).toEqual([id]);
  });

  it("writes a state, forks from an old checkpoint and goes on from there", async () => {
    const thread = await newThread();
    await client.runs.wait(thread, "steps", { input: { seen: ["in"] } });
    const history = await client.threads.getHistory<{ seen: string[] }>(thread);
    const before = history.find((item) => item.next[0] === "two");
    const { checkpoint_id } = before?.checkpoint ?? {};
    const values = await client.runs.wait(thread, "steps", {
      input: null,
      checkpointId: checkpoint_id ?? "",
    });
    expect(values).toEqual({ seen: ["in", "one", "two"] });
    await client.threads.updateState(thread, { values: { seen: ["edited"] }, asNode: "one" });
    expect(await client.runs.wait(thread, "steps", { input: null })).toEqual({
      seen: ["in", "one", "two", "edited", "two"],
    });
  });

  it("marks a thread that waits as done, as Agent Inbox does", async () => {
    const thread = await newThread();
    await client.runs.wait(thread, "inbox", { input: {} });
    expect(await client.threads.search({ status: "interrupted", ids: [thread] })).toHaveLength(1);
    await client.threads.updateState(thread, { values: null as never, asNode: "__end__" });
    expect(await client.threads.get(thread)).toMatchObject({ status: "idle", interrupts: {} });
    expect((await client.threads.getState(thread)).next).toEqual([]);
    expect((await send("GET", `/escalations?thread_id=${thread}`)).json).toMatchObject([
      { status: "superseded" },
    ]);
    await expect(client.runs.create(thread, "inbox", { command: { resume: 1 } })).rejects.toThrow(/409/);
  });

  it("writes the state of a subgraph that waits, which then asks anew", async () => {
    const thread = await newThread();
    const ask = async () => {
      const values = (await client.runs.wait(thread, "nested", { input: {} })) as {
        __interrupt__: { id: string }[];
      };
      return values.__interrupt__.map(({ id }) => id);
    };
    const [first] = await ask();
    const before = await client.threads.getState(thread, undefined, { subgraphs: true });
    const checkpoint = before.tasks[0]?.state?.checkpoint;
    if (checkpoint === undefined) throw new Error("the subgraph has no checkpoint");
    await client.threads.updateState(thread, { values: { seen: ["edited"] }, checkpoint });
    const after = await client.threads.getState<{ seen: string[] }>(thread, undefined, { subgraphs: true });
    expect(after.tasks[0]).toMatchObject({
      interrupts: [],
      state: { values: { seen: ["edited"] }, next: ["inner"] },
    });
    expect(await client.threads.get(thread)).toMatchObject({ status: "interrupted", interrupts: {} });
    const asked = (await client.runs.wait(thread, "nested", { input: null })) as {
      __interrupt__: { id: string }[];
    };
    const [second] = asked.__interrupt__;
    expect(second?.id).not.toBe(first);
    const end = await client.runs.wait(thread, "nested", {
      command: { resume: { [second?.id ?? ""]: "fine" } },
    });
    expect(end).toEqual({ seen: ["edited"], answer: "fine" });
  });

  it("draws a graph", async () => {
    const drawn = await client.assistants.getGraph("nested", { xray: true });
    expect(drawn.nodes.map(({ id }) => id)).toEqual(
      expect.arrayContaining(["__start__", "outer", "__end__"]),
    );
    expect(drawn.edges.length).toBeGreaterThan(1);
  });

  it("cancels a run that works, with and without waiting", async () => {
    const thread = await newThread();
    const run = await client.runs.create(thread, "slow", { input: {} });
    await expect.poll(async () => (await client.runs.get(thread, run.run_id)).status).toBe("running");
    const started = performance.now();
    await client.runs.cancel(thread, run.run_id, true);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect((await client.runs.get(thread, run.run_id)).status).toBe("interrupted");
  });

  it("finds assistants by graph and by id", async () => {
    const [found] = await client.assistants.search({ graphId: "steps" });
    expect(found).toMatchObject({ graph_id: "steps", name: "steps" });
    expect(await client.assistants.get(found?.assistant_id ?? "")).toEqual(found);
    expect(await client.runs.wait(null, found?.assistant_id ?? "", { input: {} })).toEqual({
      seen: ["one", "two"],
    });
  });
});

const send = async (method: string, route: string, body?: unknown) => {
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(url + route, {
    method,
    headers: { "content-type": "application/json" },
    ...init,
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  return { status: response.status, json: (await response.json()) as any };
};

describe("escalations", () => {
  const ask = async (): Promise<{ thread: string; id: string }> => {
    const thread = await newThread();
    await client.runs.wait(thread, "inbox", { input: {} });
    const { json } = await send("GET", `/escalations?status=open&thread_id=${thread}`);
    return { thread, id: json[0].escalation_id };
  };

  it("are decided once: the second gets the winner", async () => {
    const { thread, id } = await ask();
    const decided = await send("POST", `/escalations/${id}/decide`, {
      decision: "edit",
      args: { to: "b@example.org" },
    });
    expect(decided).toMatchObject({
      status: 202,
      json: { escalation: { status: "decided", decided_by: "anonymous" } },
    });
    const second = await send("POST", `/escalations/${id}/decide`, { decision: "accept" });
    expect(second).toMatchObject({
      status: 409,
      json: { title: "Conflict", winner: { status: "decided", decided_by: "anonymous" } },
    });
    await client.runs.join(thread, decided.json.run.run_id);
    expect(((await client.threads.get(thread)).values as { answer: unknown }).answer).toEqual([
      { type: "edit", args: { action: "send", args: { to: "b@example.org" } } },
    ]);
  });

  it("take only the answers they allow", async () => {
    const { id } = await ask();
    for (const [body, field] of [
      [{ decision: "response", args: "no" }, "decision"],
      [{ decision: "edit", args: "no" }, "args"],
      [{ decision: "maybe" }, "decision"],
      [{ resume: 1 }, "decision"],
      [{}, "decision"],
    ]) {
      const sent = await send("POST", `/escalations/${id}/decide`, body);
      expect(sent, JSON.stringify(body)).toMatchObject({ status: 422, json: { field } });
    }
    expect((await send("GET", `/escalations/${id}`)).json.status).toBe("open");
  });

  it("of a plain interrupt take any value", async () => {
    const thread = await newThread();
    await client.runs.wait(thread, "nested", { input: {} });
    const { json } = await send("GET", `/escalations?status=open&thread_id=${thread}`);
    const route = `/escalations/${json[0].escalation_id}/decide`;
    expect((await send("POST", route, { decision: "accept" })).json.field).toBe("resume");
    const { json: decided } = await send("POST", route, { resume: { yes: true } });
    await client.runs.join(thread, decided.run.run_id);
    expect((await client.threads.get(thread)).values).toMatchObject({ answer: { yes: true } });
  });
});

describe("dead letters", () => {
  it("are listed with their story, redriven once, and discarded with a reason", async () => {
    const thread = await newThread();
    const { run_id } = await client.runs.create(thread, "fails", { input: {} });
    await client.runs.join(thread, run_id).catch(() => undefined);
    expect(
      (await send("GET", "/dead-letters?graph_id=fails")).json.map((run: { run_id: string }) => run.run_id),
    ).toContain(run_id);
    const story = (await send("GET", `/dead-letters/${run_id}`)).json;
    expect(story).toMatchObject({
      status: "error",
      error: { message: "Boo!" },
      attempts: [{ outcome: "dead" }],
    });
    const explained = (await send("GET", `/threads/${thread}/explain`)).json;
    expect(explained).toMatchObject({
      doing: "stopped: its last run ended in error",
      failed_step: { nodes: ["boom"], error: { message: "Boo!" } },
      safe_to_retry: { safe: true },
      saved: { result: false },
    });
    const redriven = await send("POST", `/dead-letters/${run_id}/redrive`);
    expect(redriven).toMatchObject({ status: 202, json: { redrive_of: run_id } });
    await client.runs.join(thread, redriven.json.run_id).catch(() => undefined);
    const reason = { reason: "the graph is broken" };
    expect(
      (await send("POST", `/dead-letters/${redriven.json.run_id}/discard`, reason)).json.discard_reason,
    ).toBe(reason.reason);
    expect((await send("POST", `/dead-letters/${redriven.json.run_id}/redrive`)).status).toBe(409);
    expect((await send("POST", `/dead-letters/${redriven.json.run_id}/discard`, reason)).status).toBe(409);
    expect((await send("GET", `/threads/${thread}/effects`)).json).toEqual([]);
  });
});

describe("metrics", () => {
  it("show the queue at the time of the scrape", async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    expect(text).toMatch(/holdfast_queue_depth\{state="queued"\} 0/);
    expect(text).toContain("agent_tasks_total");
  });
});
