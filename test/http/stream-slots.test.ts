import { afterAll, beforeAll, expect, it } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp({ streamsPerPrincipalMax: 2 });
});
afterAll(() => t.close());

const steps = { assistant_id: "steps", input: {} };
const post = (app: TestApp["app"], url: string) =>
  app.request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(steps),
  });
const leave = async ({ body }: Response): Promise<void> => body?.cancel();

it("a principal's streams are capped, and one that is refused has made no run", async () => {
  const { json: thread } = await t.send("POST", "/threads", {});
  const own = `/threads/${thread.thread_id}`;
  const first = await post(t.app, "/runs/stream");
  const second = await t.app.request(`${own}/stream`);
  const before = await t.rows();
  for (const refused of [
    await post(t.app, "/runs/stream"),
    await t.app.request(`${own}/stream`),
    await t.app.request(String(first.headers.get("location"))),
  ]) {
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await refused.text()).toBe("Too many open streams: 2 are the most for one key, user or address");
  }
  expect(await t.rows()).toEqual(before);
  // What is no stream is not counted, and a stream that is over is counted no more.
  expect((await t.send("POST", "/runs", steps)).status).toBe(200);
  await leave(first);
  const third = await t.app.request(`${own}/stream`);
  expect(third.status).toBe(200);
  await Promise.all([leave(second), leave(third)]);
});

it("a stream that could not be opened gives its place back", async () => {
  for (let n = 0; n < 5; n += 1) {
    const { status } = await t.send("POST", "/runs/stream", { assistant_id: "nobody", input: {} });
    expect(status).toBe(404);
  }
});

it("0 is no limit", async () => {
  const app = createApp({ ...t.deps, config: { ...t.deps.config, streamsPerPrincipalMax: 0 } });
  const all = await Promise.all(Array.from({ length: 70 }, () => post(app, "/runs/stream")));
  expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
  await Promise.all(all.map(leave));
});
