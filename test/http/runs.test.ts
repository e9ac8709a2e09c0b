import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { claimNext } from "../../src/db/queries/claim.ts";
import { appendEvents } from "../../src/db/queries/events.ts";
import { runById } from "../support/factory.ts";
import { openTestApp, sentOf, type TestApp } from "../support/http.ts";

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp();
});
afterAll(() => t.close());

const newThread = async (): Promise<string> => (await t.send("POST", "/threads", {})).json.thread_id;
const steps = { assistant_id: "steps", input: { seen: ["x"] } };

async function startRun(
  body: Record<string, unknown> = steps,
): Promise<{ threadId: string; runId: string; url: string }> {
  const threadId = await newThread();
  const { json } = await t.send("POST", `/threads/${threadId}/runs`, body);
  return { threadId, runId: json.run_id, url: `/threads/${threadId}/runs/${json.run_id}` };
}

/** Ends a run by hand, as its worker would. */
async function finish(runId: string, output: unknown = { seen: [] }): Promise<void> {
  await t.db.query({
    text: "update holdfast.runs set status = 'success', finished_at = now(), lease_until = null, output = $2 where run_id = $1",
    values: [runId, JSON.stringify(output)],
  });
  t.bus.publish("run", runId);
}

const write = (runId: string, ...events: [string, unknown][]): Promise<unknown> =>
  appendEvents(t.db, {
    runId,
    attempt: 1,
    events: events.map(([event, data]) => ({ event, data: JSON.stringify(data) })),
  });

describe("a run", () => {
  it("is accepted with the fields and headers that clients read", async () => {
    const threadId = await newThread();
    const sent = await t.send("POST", `/threads/${threadId}/runs`, { ...steps, metadata: { a: 1 } });
    expect(sent.json).toMatchObject({
      thread_id: threadId,
      status: "pending",
      multitask_strategy: "enqueue",
      metadata: { a: 1, graph_id: "steps" },
      kwargs: { input: { seen: ["x"] }, stream_mode: ["values"] },
    });
    expect(sent.headers.get("content-location")).toBe(`/threads/${threadId}/runs/${sent.json.run_id}`);
    expect(sent.headers.get("access-control-expose-headers")).toContain("content-location");
    expect((await t.send("GET", `/threads/${threadId}`)).json.status).toBe("busy");
    expect((await t.send("GET", `/threads/${threadId}/runs?status=pending`)).json).toHaveLength(1);
    expect((await t.send("GET", `/threads/${threadId}/runs?status=success`)).json).toHaveLength(0);
    expect(
      await t.send("POST", `/threads/${threadId}/runs`, { ...steps, multitask_strategy: "reject" }),
    ).toMatchObject({
      status: 422,
      text: expect.stringMatching(/^Thread is already running a task/),
    });
  });

  it("makes its thread when asked to", async () => {
    const threadId = crypto.randomUUID();
    const sent = await t.send("POST", `/threads/${threadId}/runs`, { ...steps, if_not_exists: "create" });
    expect(sent).toMatchObject({ status: 200, json: { thread_id: threadId } });
  });

  it("takes the config of its thread, which its own goes before", async () => {
    const threadId = await newThread();
    const configured = (configurable: unknown) => ({ ...steps, config: { configurable } });
    await t.send("POST", `/threads/${threadId}/runs`, configured({ model: "a", user: 1 }));
    const second = await t.send("POST", `/threads/${threadId}/runs`, configured({ model: "b" }));
    expect(second.json.kwargs.config.configurable).toEqual({ model: "b", user: 1 });
  });

  it("is made once for one Idempotency-Key, with a thread and without", async () => {
    const threadId = await newThread();
    for (const url of [`/threads/${threadId}/runs`, "/runs"]) {
      const headers = { "idempotency-key": `key of ${url}` };
      const body = { ...steps, config: { configurable: { z: 1, a: 2 } } };
      const first = await t.send("POST", url, body, headers);
      const again = await t.send("POST", url, body, headers);
      expect(again.json.run_id, url).toBe(first.json.run_id);
      const other = await t.send("POST", url, { ...body, input: {} }, headers);
      expect(other, url).toMatchObject({ status: 422, text: expect.stringContaining("Idempotency-Key") });
    }
  });

  it("that waits is cancelled at once, and wait=0 does not wait for one that runs", async () => {
    const waiting = await startRun();
    expect((await t.send("POST", `${waiting.url}/cancel?wait=1`)).status).toBe(204);
    expect((await t.send("GET", waiting.url)).json.status).toBe("interrupted");
    const running = await startRun({ assistant_id: "slow", input: {} });
    await claimNext(t.db, { workerId: "w", graphIds: ["slow"], leaseSeconds: 30 });
    expect((await t.send("POST", `${running.url}/cancel?wait=0&action=interrupt`)).status).toBe(202);
    expect(await runById(t.db, running.runId)).toMatchObject({
      status: "running",
      cancel_requested: "interrupt",
    });
    await finish(running.runId);
  });

  it("is rolled back or deleted without a trace", async () => {
    const one = await startRun();
    expect((await t.send("POST", `${one.url}/cancel?action=rollback&wait=1`)).status).toBe(204);
    expect(await t.send("GET", one.url)).toMatchObject({ status: 404, text: "Run not found" });
    const two = await startRun();
    expect((await t.send("DELETE", two.url)).status).toBe(204);
    expect((await t.send("GET", two.url)).status).toBe(404);
  });
});

describe("a stream", () => {
  it("sends stored events with their numbers, then ends with the run", async () => {
    const { runId, url } = await startRun();
    await write(runId, ["metadata", { run_id: runId, attempt: 1 }], ["values", { seen: ["line\nbreak"] }]);
    const response = await t.app.request(`${url}/stream`);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("location")).toBe(`${url}/stream`);
    const text = response.text();
    await write(runId, ["updates", { one: 1 }]);
    await finish(runId);
    expect(await text).toBe(
      `event: metadata\ndata: {"run_id":"${runId}","attempt":1}\nid: 0\n\n` +
        `event: values\ndata: {"seen":["line\\nbreak"]}\nid: 1\n\n` +
        `event: updates\ndata: {"one":1}\nid: 2\n\n`,
    );
  });

  it("goes on after the last event a client has, and says so when that means nothing", async () => {
    const { runId, url } = await startRun();
    await write(runId, ["a", 0], ["b", 1], ["c", 2]);
    await finish(runId);
    const read = async (id?: string) => {
      const { text } = await t.send(
        "GET",
        `${url}/stream`,
        undefined,
        id === undefined ? {} : { "last-event-id": id },
      );
      return [...text.matchAll(/^event: (.+)$/gm)].map((match) => match[1]);
    };
    expect(await read("0")).toEqual(["b", "c"]);
    expect(await read("2")).toEqual([]);
    expect(await read("-1")).toEqual(["a", "b", "c"]);
    expect(await read()).toEqual(["a", "b", "c"]);
    expect(await read("3")).toEqual(["reset", "a", "b", "c"]);
    expect(await read("nonsense")).toEqual(["reset", "a", "b", "c"]);
  });

  it("sends a comment while nothing happens", async () => {
    const quick = await openTestApp({ heartbeatSeconds: 0.05, pollMillis: 10 });
    const { json } = await quick.send("POST", "/threads", {});
    const { json: run } = await quick.send("POST", `/threads/${json.thread_id}/runs`, steps);
    const response = await quick.app.request(`/runs/${run.run_id}/stream`);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(": heartbeat\n");
    await reader.cancel();
    expect((await quick.deps.metrics.sseClients.get()).values[0]?.value).toBe(0);
    await quick.close();
  });

  it("ends when its run is rolled back", async () => {
    const { url } = await startRun();
    const response = await t.app.request(`${url}/stream`);
    const text = response.text();
    await t.send("POST", `${url}/cancel?action=rollback`);
    expect(await text).toBe("");
  });

  it("takes its run along when the client leaves and asked for that", async () => {
    const threadId = await newThread();
    const response = await t.app.request(`/threads/${threadId}/runs/stream`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...steps, on_disconnect: "cancel" }),
    });
    const location = response.headers.get("content-location") ?? "";
    await response.body?.cancel();
    await expect.poll(async () => (await t.send("GET", location)).json.status).toBe("interrupted");
  });

  it("reads pages of events without a gap", async () => {
    const { runId, url } = await startRun();
    await write(runId, ...Array.from({ length: 250 }, (_, n): [string, unknown] => ["custom", n]));
    await finish(runId);
    const { text } = await t.send("GET", `${url}/stream`);
    expect([...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]))).toEqual(
      Array.from({ length: 250 }, (_, n) => n),
    );
  });
});

describe("waiting for a run", () => {
  it("gives its values, as JSON after line breaks", async () => {
    const { runId, url } = await startRun();
    const response = await t.app.request(`${url}/join`);
    const sent = sentOf(response);
    await finish(runId, { seen: ["done"] });
    expect((await sent).json).toEqual({ seen: ["done"] });
  });

  it("gives the error of a run that failed", async () => {
    const { runId, url } = await startRun();
    await t.db.query({
      text: `update holdfast.runs set status = 'error', finished_at = now(), error = '{"code":"error","name":"TypeError","message":"Boo!"}' where run_id = $1`,
      values: [runId],
    });
    expect((await t.send("GET", `${url}/join`)).json).toEqual({
      __error__: { error: "TypeError", message: "Boo!" },
    });
  });
});
