import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createTestDatabase } from "../support/database.ts";
import { startHoldfast } from "../support/holdfast-process.ts";

const closing: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Takes what LangSmith's client sends; `hang` never answers. */
async function traceServer(hang: boolean): Promise<{ url: string; received: string[] }> {
  const received: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push(`${request.method} ${request.url}\n${Buffer.concat(chunks).toString("utf8")}`);
      if (!hang) response.setHeader("content-type", "application/json").end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

async function tracedRun(endpoint: string) {
  const database = await createTestDatabase();
  closing.push(() => database.drop());
  const server = await startHoldfast({
    DATABASE_URL: database.url,
    LANGSMITH_TRACING: "true",
    LANGSMITH_ENDPOINT: endpoint,
    LANGSMITH_API_KEY: "test",
  });
  closing.push(() => server.end());
  const threadId = crypto.randomUUID();
  const response = await fetch(`${server.url}/threads/${threadId}/runs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ assistant_id: "steps", if_not_exists: "create", input: {} }),
  });
  const { run_id: runId } = (await response.json()) as { run_id: string };
  const joined = await fetch(`${server.url}/threads/${threadId}/runs/${runId}/join`);
  expect(await joined.json()).toEqual({ log: ["a", "b", "c"] });
  return { server, threadId, runId };
}

describe("a trace", () => {
  it("has our run as its root and the thread in its metadata, and is sent before the program ends", async () => {
    const traces = await traceServer(false);
    const { server, threadId, runId } = await tracedRun(traces.url);
    server.kill("SIGTERM");
    expect(await server.exited).toEqual({ code: 0, signal: null });
    const sent = traces.received.join("\n");
    expect(sent).toContain(`post.${runId}`);
    expect(sent).toContain(`"thread_id":"${threadId}"`);
  });

  it("that nobody takes delays neither the run nor the end of the program", async () => {
    const traces = await traceServer(true);
    const { server } = await tracedRun(traces.url);
    const asked = performance.now();
    server.kill("SIGTERM");
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - asked).toBeLessThan(8_000);
  });
});
