import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { appendEvents } from "../../src/db/queries/events.ts";
import { deleteRun, deleteThread } from "../../src/queue/cancel.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp();
});
afterAll(() => t.close());

const tenant = "default";
/** More than a stream reads ahead. */
const manyEvents = 2_000;

async function runWithEvents(status: "running" | "success") {
  const { thread_id: threadId } = (await t.send("POST", "/threads", {})).json;
  const body = { assistant_id: "steps", input: { seen: [] } };
  const { run_id: runId } = (await t.send("POST", `/threads/${threadId}/runs`, body)).json;
  const events = Array.from({ length: manyEvents }, (_, i) => ({ event: "custom", data: `{"i":${i}}` }));
  await appendEvents(t.db, { runId, attempt: 1, events });
  const finished = "update holdfast.runs set status = 'success', finished_at = now() where run_id = $1";
  if (status === "success") await t.db.query({ text: finished, values: [runId] });
  return { threadId, runId };
}

/** Reads a stream's first chunk, does something, and reads the rest. */
async function readAround(url: string, between: () => Promise<void>): Promise<string> {
  const response = await t.app.request(url);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = decoder.decode((await reader.read()).value, { stream: true });
  await between();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
}

const idsIn = (text: string): number => (text.match(/^id: /gm) ?? []).length;
const broken = /event: error\ndata: \{"error":"NotFound","message":"[^"]*deleted[^"]*"\}\n\n$/;

describe("the stream of a run", () => {
  it.each(["running", "success"] as const)(
    "that is deleted with its thread while it is read (%s) ends with an error event",
    async (status) => {
      const { threadId, runId } = await runWithEvents(status);
      const text = await readAround(`/threads/${threadId}/runs/${runId}/stream`, () =>
        deleteThread(t, { tenant, threadId }),
      );
      expect(idsIn(text)).toBeLessThan(manyEvents);
      expect(text).toMatch(broken);
    },
  );

  it("that is deleted alone ends with an error event, too", async () => {
    const { threadId, runId } = await runWithEvents("running");
    const text = await readAround(`/threads/${threadId}/runs/${runId}/stream`, () =>
      deleteRun(t, { tenant, threadId, runId }),
    );
    expect(text).toMatch(broken);
  });

  it("that is not deleted ends after its last event, without an error", async () => {
    const { threadId, runId } = await runWithEvents("success");
    const text = await readAround(`/threads/${threadId}/runs/${runId}/stream`, async () => {});
    expect(idsIn(text)).toBe(manyEvents);
    expect(text).not.toContain("event: error");
  });
});
