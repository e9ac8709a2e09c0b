import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApp, type TestApp } from "../support/http.ts";
import { type PostgresProxy, startPostgresProxy } from "../support/postgres-proxy.ts";

let t: TestApp;
let proxy: PostgresProxy;
beforeAll(async () => {
  t = await openTestApp({}, async (url) => {
    const { hostname, port } = new URL(url);
    proxy = await startPostgresProxy({ host: hostname, port: Number(port) });
    return proxy.url(url);
  });
  await t.send("POST", "/threads", {});
});
afterAll(async () => {
  await t.close();
  await proxy.stop();
});

describe("while the database is away", () => {
  it.each(["refuse", "halfOpen"] as const)("a request gets 503 within five seconds: %s", async (weather) => {
    proxy[weather]();
    if (weather === "refuse") proxy.reset();
    const started = performance.now();
    const all = await Promise.all([
      t.send("POST", "/threads", {}),
      t.send("GET", `/threads/${crypto.randomUUID()}`),
      t.send("GET", "/escalations"),
      t.send("POST", "/runs", { assistant_id: "steps", input: {} }),
    ]);
    expect(performance.now() - started).toBeLessThan(5_500);
    for (const sent of all) {
      expect(sent.status, sent.text).toBe(503);
      expect(sent.headers.get("retry-after")).toBe("1");
    }
    expect((await t.send("GET", "/livez")).status).toBe(200);
    proxy.heal();
    await expect
      .poll(async () => (await t.send("POST", "/threads", {})).status, { timeout: 15_000 })
      .toBe(200);
  });

  it("a stream keeps its client and goes on afterwards", async () => {
    const { json: thread } = await t.send("POST", "/threads", {});
    const { json: run } = await t.send("POST", `/threads/${thread.thread_id}/runs`, {
      assistant_id: "steps",
      input: {},
    });
    const response = await t.app.request(`/runs/${run.run_id}/stream`);
    const text = response.text();
    proxy.refuse();
    proxy.reset();
    await new Promise((resolve) => setTimeout(resolve, 300));
    proxy.heal();
    await expect.poll(async () => (await t.send("POST", `/runs/${run.run_id}/cancel`)).status).toBe(202);
    expect(await text).toBe("");
  });
});
