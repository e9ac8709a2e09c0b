import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { listen } from "../../src/http/listen.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { makeThread, runById } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { untilEnded } from "../support/watch.ts";

const tenant = "default";
const long = { assistant_id: "steps", input: { wait: 600_000 } };

let runtime: TestRuntime;
let app: ReturnType<typeof createApp>;
beforeEach(async () => {
  // Neither a heartbeat nor the poll for cancels comes to the rescue.
  vi.useFakeTimers({ toFake: ["setInterval"] });
  runtime = await startRuntime();
  const config = { ...httpDefaults, version: "test" };
  app = createApp({ ...runtime, config, ready: async () => true });
});
afterEach(async () => {
  vi.useRealTimers();
  await runtime.close();
});

const post = (url: string, body: unknown) =>
  app.request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

describe("a stop that races the start of its run", () => {
  it("is not lost while the answer of the claim is on its way", async () => {
    const { thread_id } = await makeThread(runtime.db);
    const { run_id } = (await (await post(`/threads/${thread_id}/runs`, long)).json()) as { run_id: string };
    const { query } = runtime.db;
    runtime.db.query = async (statement) => {
      const result = await query(statement);
      if (statement.text.includes("/* claim.next") && result.rows.length > 0) {
        await cancelRun(runtime, { tenant, threadId: thread_id, runId: run_id, action: "interrupt" });
      }
      return result;
    };
    runtime.work();
    expect(await untilEnded(runtime, run_id)).toMatchObject({ status: "interrupted", attempt: 1 });
  });

  it("is not lost at any moment around the claim", async () => {
    runtime.work({ slotsMax: 40 });
    const stopped = Array.from({ length: 30 }, async (_, n) => {
      const { thread_id } = await makeThread(runtime.db);
      const { run_id } = (await (await post(`/threads/${thread_id}/runs`, long)).json()) as {
        run_id: string;
      };
      await new Promise((resolve) => setTimeout(resolve, n));
      expect((await post(`/threads/${thread_id}/runs/${run_id}/cancel`, {})).status).toBe(202);
      return run_id;
    });
    for (const runId of await Promise.all(stopped)) {
      expect((await untilEnded(runtime, runId)).status).toBe("interrupted");
    }
  });

  it("is not lost when the client goes away while its run is being made", async () => {
    const server = await listen({ app, host: "127.0.0.1", port: 0 });
    const { thread_id } = await makeThread(runtime.db);
    const leave = new AbortController();
    let locked: () => void = () => {};
    let open: () => void = () => {};
    const isLocked = new Promise<void>((resolve) => {
      locked = resolve;
    });
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const holding = runtime.db.transaction(async (tx) => {
      await tx.query({
        text: "select 1 from holdfast.threads where thread_id = $1 for update",
        values: [thread_id],
      });
      locked();
      await opened;
    });
    await isLocked;
    const answer = fetch(`${server.url}/threads/${thread_id}/runs/stream`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...long, on_disconnect: "cancel" }),
      signal: leave.signal,
    });
    const waiting =
      "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%thread.lock%'";
    await expect
      .poll(async () => (await runtime.db.query({ text: waiting, values: [] })).rows.length)
      .toBeGreaterThan(0);
    leave.abort();
    await expect(answer).rejects.toThrow();
    open();
    await holding;
    const runs = "select run_id from holdfast.runs where thread_id = $1";
    const made = async () => (await runtime.db.query({ text: runs, values: [thread_id] })).rows;
    await expect.poll(made).toHaveLength(1);
    const [run] = await made();
    await expect
      .poll(async () => (await runById(runtime.db, String(run?.run_id))).status)
      .toBe("interrupted");
    await server.stop();
  });
});
