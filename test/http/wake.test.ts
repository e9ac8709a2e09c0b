import { afterEach, beforeEach, expect, it } from "vitest";
import { claimNext } from "../../src/db/queries/claim.ts";
import { appendEvents } from "../../src/db/queries/events.ts";
import { openTestApp, type TestApp } from "../support/http.ts";
import { settle } from "../support/settle.ts";
import { countingStatements } from "../support/statements.ts";

const pollMillis = 50;
const steps = { assistant_id: "steps", input: {} };

let t: TestApp;
beforeEach(async () => {
  t = await openTestApp({ pollMillis });
});
afterEach(() => t.close());

async function queuedRun(): Promise<{ threadId: string; runId: string }> {
  const { json: thread } = await t.send("POST", "/threads", {});
  const { json: run } = await t.send("POST", `/threads/${thread.thread_id}/runs`, steps);
  return { threadId: thread.thread_id, runId: run.run_id };
}

/** A stream that is being read, and the text it has got so far. */
async function opened(url: string): Promise<{ text: () => string; leave: () => Promise<void> }> {
  const response = await t.app.request(url);
  const reader = (response.body as ReadableStream<Uint8Array>)
    .pipeThrough(new TextDecoderStream())
    .getReader();
  let text = "";
  const reading = (async () => {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value;
  })();
  return {
    text: () => text,
    leave: async () => {
      await reader.cancel();
      await reading;
    },
  };
}

it("many idle streams cost one statement for each poll, and hear without notifications", async () => {
  const runs = await Promise.all(Array.from({ length: 20 }, queuedRun));
  const urls = runs.flatMap(({ threadId, runId }) => [
    `/threads/${threadId}/runs/${runId}/stream`,
    `/threads/${threadId}/stream`,
  ]);
  const streams = await Promise.all(urls.map(opened));
  const { counts, stop } = countingStatements(t.db);
  // The first polls have every stream look once; after them they are quiet.
  let began = 0;
  const asked = async (): Promise<string[]> => {
    counts.clear();
    began = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 4 * pollMillis));
    return [...counts.keys()];
  };
  await expect.poll(asked).toEqual(["stream.marks"]);
  expect(counts.get("stream.marks")).toBeLessThanOrEqual(2 + (performance.now() - began) / pollMillis);
  const [told] = runs;
  const events = [{ event: "custom", data: '"news"' }];
  await appendEvents(t.db, { runId: told?.runId ?? "", attempt: 1, events });
  await expect.poll(() => streams[0]?.text()).toContain("news");
  expect(streams[2]?.text()).toBe("");
  stop();
  await Promise.all(streams.map(({ leave }) => leave()));
});

it("a stream reads its run once for each news", async () => {
  await t.close();
  t = await openTestApp({ pollMillis: 600_000 });
  const { threadId, runId } = await queuedRun();
  const tell = async (news: string): Promise<void> => {
    await appendEvents(t.db, { runId, attempt: 1, events: [{ event: "custom", data: `"${news}"` }] });
    t.bus.publish("events", runId);
    await expect.poll(() => stream.text(), { interval: 5 }).toContain(news);
  };
  const stream = await opened(`/threads/${threadId}/runs/${runId}/stream`);
  await tell("the first");
  const { counts, stop } = countingStatements(t.db);
  for (const news of ["a", "b", "c", "d"]) await tell(`news ${news}`);
  expect(counts.get("events.read")).toBe(4);
  stop();
  await stream.leave();
});

it("a stream that waits for a run of its thread hears of it without notifications", async () => {
  const { threadId, runId } = await queuedRun();
  const stream = await opened(`/threads/${threadId}/stream`);
  const { counts, stop } = countingStatements(t.db);
  await expect.poll(() => counts.get("stream.marks") ?? 0, { interval: 10 }).toBeGreaterThan(2);
  stop();
  const [claimed] = await claimNext(t.db, { workerId: "w", graphIds: ["steps"], leaseSeconds: 30 });
  expect(claimed?.run_id).toBe(runId);
  await appendEvents(t.db, { runId, attempt: 1, events: [{ event: "custom", data: '"begun"' }] });
  await expect.poll(() => stream.text()).toContain("begun");
  await stream.leave();
});

it("who waits for a run's end alone does not read it again at its events, and hears of its end without notifications", async () => {
  const { threadId, runId } = await queuedRun();
  const { counts, stop } = countingStatements(t.db);
  const ended = t.send("GET", `/threads/${threadId}/runs/${runId}/join`);
  const [run] = await claimNext(t.db, { workerId: "w", graphIds: ["steps"], leaseSeconds: 30 });
  if (run === undefined) throw new Error("there is no run");
  // Whoever waits has read the run by the first poll for it.
  await expect.poll(() => counts.get("stream.marks") ?? 0, { interval: 10 }).toBeGreaterThan(0);
  const read = counts.get("run.ends");
  expect(read).toBe(1);
  for (let n = 0; n < 5; n += 1) {
    await appendEvents(t.db, { runId, attempt: 1, events: [{ event: "custom", data: `"${n}"` }] });
    t.bus.publish("events", runId);
    const marks = counts.get("stream.marks") ?? 0;
    await expect.poll(() => counts.get("stream.marks") ?? 0, { interval: 10 }).toBeGreaterThan(marks);
  }
  expect(counts.get("run.ends")).toBe(read);
  const view = { values: { log: ["done"] }, interrupts: {}, parked: false };
  await settle(t.db, {
    run,
    outcome: { kind: "success", view, questions: [], graphVersion: "1" },
    finalEvents: [],
  });
  expect((await ended).json).toEqual({ log: ["done"] });
  stop();
});

it("runs that end together are looked at together by those who wait for them", async () => {
  await t.close();
  t = await openTestApp({ pollMillis: 600_000 });
  const runs = await Promise.all(Array.from({ length: 20 }, queuedRun));
  /** How many each look was for. */
  const looks: number[] = [];
  const { query } = t.db;
  t.db.query = (statement) => {
    if (statement.text.startsWith("/* run.ends */")) looks.push((statement.values[0] as unknown[]).length);
    return query(statement);
  };
  const ends = runs.map(({ threadId, runId }) => t.send("GET", `/threads/${threadId}/runs/${runId}/join`));
  await expect.poll(() => looks.reduce((sum, each) => sum + each, 0), { interval: 10 }).toBe(20);
  const values = (n: number) => JSON.stringify({ log: [n] });
  await Promise.all(
    runs.map(({ runId }, n) =>
      query({
        text: "update holdfast.runs set status = 'success', output = $2, finished_at = now() where run_id = $1",
        values: [runId, values(n)],
      }),
    ),
  );
  looks.length = 0;
  for (const { runId } of runs) t.bus.publish("run", runId);
  expect((await Promise.all(ends)).map(({ json }) => json)).toEqual(runs.map((_, n) => ({ log: [n] })));
  // The first may go alone, what comes meanwhile goes together.
  expect(looks.length).toBeLessThanOrEqual(3);
  t.db.query = query;
});

it("nothing is asked of the database while no stream is open", async () => {
  const { threadId, runId } = await queuedRun();
  const stream = await opened(`/threads/${threadId}/runs/${runId}/stream`);
  await stream.leave();
  const { counts, stop } = countingStatements(t.db);
  // Its last look may still be under way when the client has gone.
  const asked = async (): Promise<string[]> => {
    counts.clear();
    await new Promise((resolve) => setTimeout(resolve, 4 * pollMillis));
    return [...counts.keys()];
  };
  await expect.poll(asked).toEqual([]);
  stop();
});
