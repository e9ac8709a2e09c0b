import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { serve } from "@hono/node-server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { appendEvents } from "../../src/db/queries/events.ts";
import { pulled } from "../../src/http/pulled.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
let server: Server;
let port: number;
beforeAll(async () => {
  t = await openTestApp();
  server = serve({ fetch: t.app.fetch, port: 0, hostname: "127.0.0.1" }) as Server;
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await t.close();
});

const steps = { assistant_id: "steps", input: {} };
const openStreams = async (): Promise<number> =>
  (await t.deps.metrics.sseClients.get()).values[0]?.value ?? 0;

describe("over a socket", () => {
  it("a stream's headers come before its first event", async () => {
    const { json } = await t.send("POST", "/threads", {});
    const leave = new AbortController();
    const response = await fetch(`http://127.0.0.1:${port}/threads/${json.thread_id}/runs/stream`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...steps, on_disconnect: "cancel" }),
      signal: AbortSignal.any([leave.signal, AbortSignal.timeout(2_000)]),
    });
    const location = response.headers.get("content-location") ?? "";
    expect(location).toContain(json.thread_id);
    expect(await openStreams()).toBe(1);
    leave.abort();
    await expect.poll(async () => (await t.send("GET", location)).json.status).toBe("interrupted");
    await expect.poll(openStreams).toBe(0);
  });

  it("a reader that takes nothing makes the server read no further", async () => {
    const { json: thread } = await t.send("POST", "/threads", {});
    const { json: run } = await t.send("POST", `/threads/${thread.thread_id}/runs`, steps);
    const data = JSON.stringify("x".repeat(100_000));
    const events = Array.from({ length: 600 }, () => ({ event: "custom", data }));
    await appendEvents(t.db, { runId: run.run_id, attempt: 1, events });
    let reads = 0;
    const { query } = t.db;
    t.db.query = (statement) => {
      if (statement.text.includes("events.read")) reads += 1;
      return query(statement);
    };
    const socket = connect(port, "127.0.0.1");
    socket.pause();
    socket.write(`GET /runs/${run.run_id}/stream HTTP/1.1\r\nhost: x\r\n\r\n`);
    await expect.poll(() => reads).toBeGreaterThan(0);
    // The kernel's buffers take some megabytes; all 60 would need a hundred reads of the table.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(reads).toBeLessThan(20);
    socket.destroy();
    t.db.query = query;
    await expect.poll(openStreams).toBe(0);
  });
});

describe("a pulled body", () => {
  const forever = async function* (): AsyncGenerator<string> {
    for (let n = 0; ; n += 1) yield String(n);
  };

  it("disconnects a reader that stalls, and ends its source", async () => {
    let left = 0;
    const reader = pulled(forever, { onCancel: () => (left += 1), stallSeconds: 0.02 }).getReader();
    await reader.read();
    await expect(reader.closed).rejects.toThrow(/took nothing/);
    expect(left).toBe(1);
  });

  it("holds one piece at most", async () => {
    let made = 0;
    const counted = async function* (): AsyncGenerator<string> {
      for (;;) {
        made += 1;
        yield String(made);
      }
    };
    const reader = pulled(counted).getReader();
    await reader.read();
    await reader.read();
    expect(made).toBe(2);
    await reader.cancel();
  });
});
