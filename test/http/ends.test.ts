import { afterEach, beforeEach, expect, it, onTestFinished } from "vitest";
import { claimNext } from "../../src/db/queries/claim.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { requestCancel } from "../../src/db/queries/runs.ts";
import { GroupSettle } from "../../src/queue/group-settle.ts";
import { openTestApp, type TestApp } from "../support/http.ts";
import { countingStatements } from "../support/statements.ts";

/** Nobody finds anything by chance. */
const pollMillis = 600_000;

let t: TestApp;
let looks: () => number;
beforeEach(async () => {
  t = await openTestApp({ pollMillis });
  const { counts, stop } = countingStatements(t.db);
  onTestFinished(stop);
  looks = () => counts.get("run.ends") ?? 0;
});
afterEach(() => t.close());

/** Somebody who waits for the run that was made for it, and the run as a worker has claimed it. */
async function waitedFor(): Promise<{ answer: Promise<unknown>; run: RunRow }> {
  const response = await t.app.request("/runs/wait", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ assistant_id: "steps", input: {} }),
  });
  const answer = response.json();
  const [run] = await claimNext(t.db, { workerId: "w", graphIds: ["steps"], leaseSeconds: 30 });
  if (run === undefined) throw new Error("there is no run");
  return { answer, run };
}

const settled = (run: RunRow, log: string[]) =>
  new GroupSettle(t.db).settle({
    run,
    outcome: {
      kind: "success",
      view: { values: { log }, interrupts: {}, parked: false },
      questions: [],
      graphVersion: "1",
    },
    finalEvents: [],
  });

it("who waits for a new run is told its end by the worker of its process, and asks the database nothing", async () => {
  const { answer, run } = await waitedFor();
  t.bus.publish("run", run.run_id, (await settled(run, ["done"])).end);
  expect(await answer).toEqual({ log: ["done"] });
  expect(looks()).toBe(0);
});

it("who waits is told what the database shows of the run's end", async () => {
  const { answer, run } = await waitedFor();
  t.bus.publish("run", run.run_id, (await settled(run, ["é💬", "\u0000"])).end);
  const shown = await t.send("GET", `/threads/${run.thread_id}/runs/${run.run_id}/join`);
  expect(await answer).toEqual(shown.json);
});

it("an end that was told of another tenant's or thread's run is looked at", async () => {
  for (const wrong of [{ tenant: "other" }, { threadId: crypto.randomUUID() }]) {
    const before = looks();
    const { answer, run } = await waitedFor();
    const { end } = await settled(run, ["as stored"]);
    if (end === undefined) throw new Error("the settle told nothing");
    t.bus.publish("run", run.run_id, { ...end, ...wrong, output: '{"log": ["forged"]}' });
    expect(await answer).toEqual({ log: ["as stored"] });
    expect(looks()).toBe(before + 1);
  }
});

it("an end that nobody tells but by a notification is looked at", async () => {
  const { answer, run } = await waitedFor();
  await settled(run, ["done"]);
  t.bus.publish("run", run.run_id);
  expect(await answer).toEqual({ log: ["done"] });
  expect(looks()).toBe(1);
});

it("an end that nobody heard of, because it came before anybody listened, is found after the first sign of life", async () => {
  const { answer, run } = await waitedFor();
  await settled(run, ["done"]);
  expect(await answer).toEqual({ log: ["done"] });
  expect(looks()).toBe(1);
});

it("the end of a run that somebody wanted to stop is not told: the row says what became of it", async () => {
  const { answer, run } = await waitedFor();
  await requestCancel(t.db, { runId: run.run_id, action: "interrupt" });
  const { end } = await settled(run, ["done"]);
  expect(end).toBeUndefined();
  t.bus.publish("run", run.run_id, end);
  await answer;
  expect(looks()).toBe(1);
});
