import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pruneOnce } from "../../src/queue/scheduler.ts";
import { payingGraph, rowsDigest, type Send, senderOf, type World } from "../support/dead-letters.ts";
import { runById } from "../support/factory.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { untilEnded } from "../support/watch.ts";

const world: World = { broken: true, paid: [] };
let runtime: TestRuntime;
let send: Send;
beforeEach(async () => {
  Object.assign(world, { broken: true, paid: [] });
  runtime = await startRuntime({ registry: await registryOf("any", payingGraph(world)) });
  ({ send } = senderOf(runtime));
});
afterEach(() => runtime.close());

interface Started {
  run: string;
  thread: string;
}

async function start(input: unknown, thread?: string): Promise<Started> {
  const id = thread ?? (await send("POST", "/threads", {})).json.thread_id;
  const { json } = await send("POST", `/threads/${id}/runs`, { assistant_id: "any", input });
  return { run: json.run_id, thread: id };
}

/** Runs that have died, with no worker left. */
async function dead(...inputs: unknown[]): Promise<Started[]> {
  const work = runtime.work();
  const made: Started[] = [];
  for (const input of inputs) {
    made.push(await start(input));
    expect(["error", "timeout"]).toContain((await untilEnded(runtime, made.at(-1)!.run)).status);
  }
  await work.stop(2_000);
  return made;
}

async function finished(runId: string) {
  const work = runtime.work();
  const row = await untilEnded(runtime, runId);
  await work.stop(2_000);
  return row;
}
const logOf = (row: { output: string | null }): unknown => JSON.parse(row.output ?? "null")?.log;

describe("a run that fails", () => {
  it("by an unknown error ends at its first attempt, with the chain, the advice, its input and what it did", async () => {
    const [{ run }] = (await dead({ fail: "cannot tell order 42" })) as [Started];
    const { json } = await send("GET", `/dead-letters/${run}`);
    expect(json).toMatchObject({
      graph_id: "any",
      status: "error",
      input: { fail: "cannot tell order 42" },
      error: {
        code: "type_error",
        name: "TypeError",
        message: "cannot tell order 42",
        causes: ["RangeError: row 12"],
        stack: expect.stringContaining("dead-letters.ts"),
      },
      advice: expect.stringMatching(/graph's own code/),
      fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
      attempts: [{ attempt: 1, outcome: "dead", waited_ms: expect.any(Number), retry_at: null }],
      effects: [{ tool: "pay", state: "succeeded", args_digest: expect.stringMatching(/^[0-9a-f]{64}$/) }],
      crashes: 0,
      losses: 0,
      suspect: false,
      redrives: [],
      redrive: { checkpoint: { possible: true, why: null }, start: { possible: false } },
    });
    expect(json.redrive.start).toMatchObject({
      why: expect.stringMatching(/effects would be done again.*pay \(succeeded/),
      effects: [{ tool: "pay", state: "succeeded", run_id: run }],
    });
    const state = await send("GET", `/threads/${json.thread_id}/state`);
    expect(json.last_checkpoint_id).toBe(state.json.checkpoint.checkpoint_id);
  });

  it("by a Transient each time is tried exactly five times, after 2, 4, 8 and 16 seconds, and can be redriven", async () => {
    runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
    const forward = setInterval(() => runtime.clock.advance(500), 20);
    const [{ run }] = (await dead({ fail: "transient" }).finally(() => clearInterval(forward))) as [Started];
    const { json } = await send("GET", `/dead-letters/${run}`);
    expect(json).toMatchObject({
      error: { code: "exhausted", causes: ["Error: socket 17 closed"] },
      advice: expect.stringMatching(/redrive the group/),
      failures: 4,
    });
    type Attempt = { outcome: string; retry_at: string | null; ended_at: string; waited_ms: number };
    const attempts = json.attempts as Attempt[];
    expect(attempts.map(({ outcome }) => outcome)).toEqual(["retry", "retry", "retry", "retry", "dead"]);
    const planned = attempts.slice(0, 4).map((one) => Date.parse(one.retry_at!) - Date.parse(one.ended_at));
    expect(planned).toEqual([2_000, 4_000, 8_000, 16_000]);
    for (const [n, wait] of planned.entries())
      expect(attempts[n + 1]!.waited_ms).toBeGreaterThanOrEqual(wait);
    world.broken = false;
    const { status, json: again } = await send("POST", `/dead-letters/${run}/redrive`);
    expect(status).toBe(202);
    expect(logOf(await finished(again.run_id))).toEqual(["planned", "paid", "told"]);
    expect(world.paid).toHaveLength(1);
  });

  it("counts among the metrics, by code, and in the depth until it is handled", async () => {
    const [{ run }] = (await dead({ fail: "quota" })) as [Started];
    const before = (await send("GET", "/metrics")).text;
    expect(before).toMatch(/holdfast_dead_letter_total\{reason="quota_exceeded"\} 1/);
    expect(before).toMatch(/holdfast_dead_letter_depth 1/);
    await send("POST", `/dead-letters/${run}/discard`, { reason: "seen" });
    expect((await send("GET", "/metrics")).text).toMatch(/holdfast_dead_letter_depth 0/);
  });
});

describe("dead letters", () => {
  it("are grouped by cause, whatever particulars their messages have, and listed by it", async () => {
    const [first, second, other] = (await dead(
      { fail: "no order 17" },
      { fail: "no order 4711" },
      { fail: "quota" },
    )) as [Started, Started, Started];
    const { json: groups } = await send("GET", "/dead-letters/groups");
    expect(groups).toMatchObject([
      { count: 2, code: "type_error", message: "no order 4711", graphs: ["any"], sample_run_id: second.run },
      { count: 1, code: "quota_exceeded", advice: expect.stringMatching(/quota is used up/) },
    ]);
    expect(Date.parse(groups[0].first_at)).toBeLessThan(Date.parse(groups[0].last_at));
    const ids = async (query: string) =>
      (await send("GET", `/dead-letters?${query}`)).json.map(({ run_id }: { run_id: string }) => run_id);
    expect(await ids(`fingerprint=${groups[0].fingerprint}`)).toEqual([second.run, first.run]);
    expect(await ids("code=quota_exceeded")).toEqual([other.run]);
    expect(await ids("graph_id=else")).toEqual([]);
    const between = (await runById(runtime.db, second.run)).finished_at!.toISOString();
    expect(await ids(`since=${encodeURIComponent(between)}`)).toEqual([other.run, second.run]);
    expect(await ids(`until=${encodeURIComponent(between)}`)).toEqual([first.run]);
    expect(await ids("limit=1&offset=1")).toEqual([second.run]);
    expect((await send("GET", "/dead-letters?since=yesterday")).json).toMatchObject({
      status: 422,
      field: "since",
    });
  });

  it("are redriven as a group at a rate: each is due after the one before, and nobody has to stay", async () => {
    const letters = await dead({ fail: "x 1" }, { fail: "x 2" }, { fail: "x 3" }, { fail: "quota" });
    const [{ fingerprint }] = (await send("GET", "/dead-letters/groups")).json;
    world.broken = false;
    runtime.clock.set(new Date("2031-01-01T00:00:00Z"));
    const body = { group: fingerprint, rate_per_second: 0.5 };
    const { status, json } = await send("POST", "/dead-letters/redrive", body);
    expect(status).toBe(202);
    expect(json).toMatchObject({ matched: 3, redriven: 3, refused: 0 });
    expect(json.results.map((one: { run_id: string }) => one.run_id)).toEqual(
      letters.slice(0, 3).map(({ run }) => run),
    );
    const due = json.results.map((one: { available_at: string }) => one.available_at);
    expect(due).toEqual(["2031-01-01T00:00:00.000Z", "2031-01-01T00:00:02.000Z", "2031-01-01T00:00:04.000Z"]);
    const [now, later, last] = json.results.map((one: { redrive_run_id: string }) => one.redrive_run_id);
    expect((await finished(now)).status).toBe("success");
    expect((await runById(runtime.db, later)).status).toBe("queued");
    runtime.clock.advance(4_000);
    expect(logOf(await finished(last))).toEqual(["planned", "paid", "told"]);
    expect(world.paid).toHaveLength(4);
    const again = await send("POST", "/dead-letters/redrive", body);
    expect(again.json).toMatchObject({ matched: 0, redriven: 0 });
  });

  it("say for each named one why it was not redriven", async () => {
    const [gone, fine] = (await dead({ fail: "a" }, { fail: "b" })) as [Started, Started];
    await send("POST", `/dead-letters/${gone.run}/discard`, { reason: "a test" });
    const unknown = "00000000-0000-4000-8000-000000000000";
    const { json } = await send("POST", "/dead-letters/redrive", { run_ids: [gone.run, unknown, fine.run] });
    expect(json).toMatchObject({ matched: 3, redriven: 1, refused: 2 });
    expect(json.results).toMatchObject([
      { redriven: false, reason: expect.stringMatching(/was discarded: a test/) },
      { redriven: false, reason: "Run not found" },
      { redriven: true, reason: null },
    ]);
  });

  it("are never meant all at once by accident", async () => {
    for (const body of [
      {},
      { filter: {} },
      { run_ids: [] },
      { group: "x", rate_per_second: 0 },
      { grup: "x" },
    ]) {
      expect((await send("POST", "/dead-letters/redrive", body)).status, JSON.stringify(body)).toBe(422);
      expect((await send("POST", "/dead-letters/discard", { ...body, reason: "r" })).status).toBe(422);
    }
  });

  it("show what a redrive would do without doing it", async () => {
    const [{ run, thread }] = (await dead({ fail: "x" })) as [Started];
    const before = await rowsDigest(runtime);
    const one = await send("POST", `/dead-letters/${run}/redrive`, { dry_run: true });
    expect(one).toMatchObject({
      status: 200,
      json: { dry_run: true, thread_id: thread, kwargs: { input: null } },
    });
    const many = await send("POST", "/dead-letters/redrive", { run_ids: [run], dry_run: true });
    expect(many).toMatchObject({ status: 200, json: { redriven: 1, results: [{ redrive_run_id: null }] } });
    const refused = await send("POST", "/dead-letters/redrive", {
      run_ids: [run],
      from: "start",
      dry_run: true,
    });
    expect(refused.json).toMatchObject({ redriven: 0, results: [{ reason: expect.stringMatching(/pay/) }] });
    await send("POST", "/dead-letters/discard", { run_ids: [run], reason: "r", dry_run: true });
    expect(await rowsDigest(runtime)).toBe(before);
  });

  it("start once when two people redrive their group at the same time", async () => {
    const letters = await dead({ fail: "x 1" }, { fail: "x 2" });
    const body = { run_ids: letters.map(({ run }) => run) };
    const both = await Promise.all([1, 2].map(() => send("POST", "/dead-letters/redrive", body)));
    expect(both.map(({ json }) => json.redriven).reduce((a, b) => a + b)).toBe(2);
    const { rows } = await runtime.db.query({
      text: "select count(*) as n from holdfast.runs where redrive_of is not null",
      values: [],
    });
    expect(rows[0]?.n).toBe(2);
  });

  it("are discarded many at once, with the reason, and named ones that were not open are told", async () => {
    const letters = (await dead({ fail: "x 1" }, { fail: "x 2" }, { fail: "quota" })) as Started[];
    const [{ fingerprint }] = (await send("GET", "/dead-letters/groups")).json;
    const { json } = await send("POST", "/dead-letters/discard", { group: fingerprint, reason: "test data" });
    expect(json).toMatchObject({ discarded: 2, run_ids: [letters[0]!.run, letters[1]!.run] });
    expect(await runById(runtime.db, letters[0]!.run)).toMatchObject({ discard_reason: "test data" });
    const named = await send("POST", "/dead-letters/discard", {
      run_ids: letters.map(({ run }) => run),
      reason: "rest",
    });
    expect(named.json).toMatchObject({
      discarded: 1,
      run_ids: [letters[2]!.run],
      refused: [letters[0]!.run, letters[1]!.run],
    });
    expect((await send("GET", "/dead-letters")).json).toEqual([]);
  });
});

describe("a redrive from the start", () => {
  it("runs the input again where the run began, so that its half-done state is not doubled", async () => {
    const [{ run, thread }] = (await dead({ fail: "early", log: ["in"] })) as [Started];
    world.broken = false;
    const { status, json } = await send("POST", `/dead-letters/${run}/redrive`, { from: "start" });
    expect(status).toBe(202);
    expect(logOf(await finished(json.run_id))).toEqual(["in", "planned", "paid", "told"]);
    expect((await send("GET", `/threads/${thread}`)).json.values.log).toEqual([
      "in",
      "planned",
      "paid",
      "told",
    ]);
  });

  it("takes an edited input on a thread that had a life before, and keeps that", async () => {
    world.broken = false;
    const { run: early, thread } = await start({ log: ["first"] });
    await finished(early);
    world.broken = true;
    const work = runtime.work();
    const { run } = await start({ fail: "early", log: ["wrong"] }, thread);
    await untilEnded(runtime, run);
    await work.stop(2_000);
    const edited = { from: "start", input: { fail: "none", log: ["right"] }, effects: "repeat" };
    world.broken = false;
    const { json } = await send("POST", `/dead-letters/${run}/redrive`, edited);
    const row = await finished(json.run_id);
    expect(logOf(row)).toEqual(["first", "planned", "paid", "told", "right", "planned", "paid", "told"]);
    expect(row).toMatchObject({ redrive_of: run, kwargs: { input: edited.input } });
  });

  it("refuses an input that is none, comes with a checkpoint, or could not come in by the front door", async () => {
    const [{ run }] = (await dead({ fail: "early" })) as [Started];
    const before = await rowsDigest(runtime);
    const tries: [object, string][] = [
      [{ from: "start", input: null }, "input"],
      [{ input: {} }, "input"],
      [{ effects: "repeat" }, "effects"],
      [{ from: "start", effects: "perhaps" }, "effects"],
      [{ from: "middle" }, "from"],
      [{ from: "start", input: { a: "\u0000" } }, "input.a"],
    ];
    for (const [body, field] of tries) {
      const { status, json } = await send("POST", `/dead-letters/${run}/redrive`, body);
      expect({ status, field: json.field }, JSON.stringify(body)).toEqual({ status: 422, field });
    }
    expect(await rowsDigest(runtime)).toBe(before);
  });

  it("of a redrive begins where the first run began", async () => {
    const [{ run }] = (await dead({ fail: "early", log: ["in"] })) as [Started];
    const { json: second } = await send("POST", `/dead-letters/${run}/redrive`);
    expect((await finished(second.run_id)).status).toBe("error");
    world.broken = false;
    const { json } = await send("POST", `/dead-letters/${second.run_id}/redrive`, { from: "start" });
    expect(logOf(await finished(json.run_id))).toEqual(["in", "planned", "paid", "told"]);
  });

  it("is refused with the list when effects would be done again, unless it says what to do about them", async () => {
    const [{ run }] = (await dead({ fail: "x" })) as [Started];
    for (const effects of [undefined, "deny"]) {
      const { status, json } = await send("POST", `/dead-letters/${run}/redrive`, { from: "start", effects });
      expect(status).toBe(409);
      expect(json).toMatchObject({ effects: [{ tool: "pay", state: "succeeded" }] });
    }
    world.broken = false;
    const { json } = await send("POST", `/dead-letters/${run}/redrive`, { from: "start", effects: "repeat" });
    expect(await finished(json.run_id)).toMatchObject({ status: "success", effects_policy: "repeat" });
  });

  it("is the only one left when the effects of the dead run were undone", async () => {
    const [{ run }] = (await dead({ fail: "x" })) as [Started];
    await runtime.db.query({
      text: "update holdfast.effects set state = 'compensated' where run_id = $1",
      values: [run],
    });
    const { json } = await send("POST", `/dead-letters/${run}/redrive`);
    expect(json).toMatchObject({ status: 409, detail: expect.stringMatching(/were undone.*from the start/) });
    expect((await send("GET", `/dead-letters/${run}`)).json.redrive).toMatchObject({
      checkpoint: { possible: false },
      start: { possible: true },
    });
  });
});

describe("old dead letters", () => {
  it("are kept for ever where no age is set", async () => {
    const [{ run }] = (await dead({ fail: "x" })) as [Started];
    runtime.clock.advance(400 * 86_400_000);
    expect(await pruneOnce(runtime)).toMatchObject({ discarded: 0, removed: 0 });
    expect((await runById(runtime.db, run)).discarded_at).toBeNull();
  });

  it("are discarded at the set age and removed as long after, but a thread keeps its newest run", async () => {
    const [old, alone] = (await dead({ fail: "x" }, { fail: "x" })) as [Started, Started];
    world.broken = false;
    await finished((await start({}, old.thread)).run);
    const [fresh] = (await (async () => {
      runtime.clock.advance(25 * 86_400_000);
      world.broken = true;
      return dead({ fail: "x" });
    })()) as [Started];
    runtime.clock.advance(6 * 86_400_000);
    expect(await pruneOnce(runtime, { deadLetterDays: 30 })).toMatchObject({ discarded: 2, removed: 0 });
    expect(await runById(runtime.db, old.run)).toMatchObject({
      discard_reason: "nobody handled it for 30 days",
    });
    expect((await runById(runtime.db, fresh.run)).discarded_at).toBeNull();
    runtime.clock.advance(31 * 86_400_000);
    expect(await pruneOnce(runtime, { deadLetterDays: 30 })).toMatchObject({ discarded: 1, removed: 1 });
    expect(await runById(runtime.db, old.run)).toBeUndefined();
    expect(await runById(runtime.db, alone.run)).toBeDefined();
    expect((await send("GET", `/threads/${old.thread}`)).json.values.log).toContain("told");
  });
});

describe("a redrive that waits for its turn", () => {
  it("is not overtaken by a new run of its thread: it would find the state gone that it goes on from", async () => {
    const [first, second] = (await dead({ fail: "x 1" }, { fail: "x 2" })) as [Started, Started];
    world.broken = false;
    runtime.clock.set(new Date("2031-01-01T00:00:00Z"));
    const body = { run_ids: [first.run, second.run], rate_per_second: 0.1 };
    const { json } = await send("POST", "/dead-letters/redrive", body);
    const redrive = json.results[1].redrive_run_id;
    const { run: next } = await start({}, second.thread);
    const work = runtime.work();
    await untilEnded(runtime, json.results[0].redrive_run_id);
    runtime.clock.advance(10_000);
    const [redriven, after] = [await untilEnded(runtime, redrive), await untilEnded(runtime, next)];
    await work.stop(2_000);
    expect(logOf(redriven)).toEqual(["planned", "paid", "told"]);
    expect(logOf(after)).toEqual(["planned", "paid", "told", "planned", "paid", "told"]);
  });
});
