// Upstream behaviour that shaped the life of a run, as measured; each must hold for ours.
import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { afterEach, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { writeAsRun } from "../../src/db/queries/checkpoint-writes.ts";
import { renewLeases } from "../../src/db/queries/claim.ts";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { noEvents } from "../../src/domain/event.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { createRun } from "../../src/queue/create.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { makeRun, runById, runRequest } from "../support/factory.ts";
import { commitOf, startPostgresProxy } from "../support/postgres-proxy.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { settle } from "../support/settle.ts";
import { untilEnded } from "../support/watch.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close();
});
async function runtimeOf(choices: Parameters<typeof startRuntime>[0] = {}): Promise<TestRuntime> {
  const runtime = await startRuntime(choices);
  open.push(runtime);
  return runtime;
}
async function ended(runtime: TestRuntime, request: Partial<CreateRun>): Promise<RunWithOutput> {
  const { run } = await createRun(runtime.db, runRequest(request));
  runtime.bus.publish("queue", run.thread_id);
  return untilEnded(runtime, run.run_id);
}
const answer = (resume: unknown): CreateRun["kwargs"] => ({ command: { resume }, stream_mode: ["values"] });
const valuesOf = (run: RunWithOutput): { log: string[] } => JSON.parse(run.output ?? "null");
async function interrupts(db: Database, threadId: string): Promise<{ id: string; value: unknown }[]> {
  const { rows } = await db.query({
    text: "select interrupts from holdfast.threads where thread_id = $1",
    values: [threadId],
  });
  return Object.values(
    JSON.parse(String(rows[0]?.interrupts)) as Record<string, { id: string; value: unknown }[]>,
  ).flat();
}

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
// Three versions of one node, as three deploys would bring them.
const asksOk = () => ({ log: [`gate:${interrupt("ok?")}`] });
const asksFirst = () => ({ log: [`gate:${interrupt("new first?")}/${interrupt("ok?")}`] });
const asksMore = () => ({ log: [`gate:${interrupt("ok?")}/${interrupt("and this?")}`] });
function gated(nodeName: string, gate: () => { log: string[] }) {
  return new StateGraph(State)
    .addNode("draft", () => ({ log: ["draft"] }))
    .addNode(nodeName, gate)
    .addNode("pay", () => ({ log: ["pay"] }))
    .addEdge(START, "draft")
    .addEdge("draft", nodeName as "draft")
    .addEdge(nodeName as "draft", "pay")
    .addEdge("pay", END)
    .compile();
}

describe("a parked thread that meets a changed graph", () => {
  async function deployed(
    before: unknown,
    after: unknown,
  ): Promise<{ second: TestRuntime; threadId: string }> {
    const first = await runtimeOf({ registry: await registryOf("any", before) });
    const worker = first.work();
    const { thread_id: threadId } = await ended(first, { graphId: "any" });
    await worker.stop(2_000);
    const second = await runtimeOf({ registry: await registryOf("any", after), url: first.url });
    second.work();
    return { second, threadId };
  }

  it("9: ends in graph_version_mismatch when its node was renamed, with the question open again", async () => {
    const { second, threadId } = await deployed(gated("gate", asksOk), gated("gate2", asksOk));
    const run = await ended(second, { graphId: "any", threadId, kwargs: answer("yes") });
    expect(run).toMatchObject({ status: "error", error: { code: "graph_version_mismatch" } });
    const { rows } = await second.db.query({ text: "select status from holdfast.escalations", values: [] });
    expect(rows).toEqual([{ status: "open" }]);
  });

  it("9: does not hand the answer to a question that was put in front of the old one", async () => {
    const { second, threadId } = await deployed(gated("gate", asksOk), gated("gate", asksFirst));
    const run = await ended(second, { graphId: "any", threadId, kwargs: answer("yes") });
    expect(run).toMatchObject({ status: "error", error: { code: "graph_version_mismatch" } });
  });

  it("9: goes on when the same question is still asked", async () => {
    const { second, threadId } = await deployed(gated("gate", asksOk), gated("gate", asksMore));
    const run = await ended(second, { graphId: "any", threadId, kwargs: answer("yes") });
    expect(run.status).toBe("success");
    expect(await interrupts(second.db, threadId)).toMatchObject([{ value: "and this?" }]);
  });
});

describe("an answer", () => {
  it("14: reaches both of two questions that were asked in parallel", async () => {
    const runtime = await runtimeOf();
    runtime.work();
    const { thread_id: threadId } = await ended(runtime, { graphId: "questions" });
    const asked = await interrupts(runtime.db, threadId);
    const map = Object.fromEntries(asked.map(({ id, value }) => [id, `answer to ${value}`]));
    await ended(runtime, { graphId: "questions", threadId, kwargs: answer(map) });
    const [second] = await interrupts(runtime.db, threadId);
    expect(second?.value).toBe("q2");
    const last = await ended(runtime, { graphId: "questions", threadId, kwargs: answer("answer to q2") });
    expect(valuesOf(last).log.sort()).toEqual(["one:answer to q3", "two:answer to q1,answer to q2"]);
  });

  it("15: to the first question of a node never answers the second, however often it is sent", async () => {
    const runtime = await runtimeOf();
    runtime.work();
    const { thread_id: threadId } = await ended(runtime, { graphId: "questions" });
    const [q1] = (await interrupts(runtime.db, threadId)).filter(({ value }) => value === "q1");
    const click = { graphId: "questions", threadId, kwargs: answer({ [q1?.id ?? ""]: "yes" }) };
    await ended(runtime, click);
    await expect(createRun(runtime.db, runRequest(click))).rejects.toThrow(
      "waits for no answer to interrupt",
    );
    expect((await interrupts(runtime.db, threadId)).map(({ value }) => value).sort()).toEqual(["q2", "q3"]);
  });

  it("16: reaches a question two subgraphs deep, and the second one behind it", async () => {
    const runtime = await runtimeOf();
    runtime.work();
    const { thread_id: threadId } = await ended(runtime, { graphId: "nested" });
    await ended(runtime, { graphId: "nested", threadId, kwargs: answer("A1") });
    expect((await interrupts(runtime.db, threadId)).map(({ value }) => value)).toEqual(["inner 2"]);
    const last = await ended(runtime, { graphId: "nested", threadId, kwargs: answer("A2") });
    expect(valuesOf(last).log).toContain("ask:A1,A2");
    expect(valuesOf(last).log.at(-1)).toBe("after");
  });

  it("travels with the update and goto of its command", async () => {
    const runtime = await runtimeOf();
    runtime.work();
    const { thread_id: threadId } = await ended(runtime, { graphId: "approval" });
    const kwargs = { command: { resume: "yes", update: { log: ["noted"] } }, stream_mode: ["values"] };
    const last = await ended(runtime, { graphId: "approval", threadId, kwargs });
    expect(valuesOf(last).log).toEqual(["draft", "noted", "gate:yes", "pay"]);
  });
});

describe("a broken link to the database", () => {
  async function behindProxy() {
    const direct = await runtimeOf();
    const { hostname, port } = new URL(direct.url);
    const proxy = await startPostgresProxy({ host: hostname, port: Number(port) });
    open.push({ close: () => proxy.stop() });
    const runtime = await runtimeOf({ url: proxy.url(direct.url) });
    return { direct, proxy, runtime };
  }

  it("5: in the middle of a checkpoint is survived by the process and by the run", async () => {
    const { proxy, runtime } = await behindProxy();
    runtime.work();
    const cut = proxy.cutBeforeSend(/checkpoint\.group/);
    const run = await ended(runtime, { graphId: "steps" });
    await cut;
    expect(run).toMatchObject({ status: "success", attempt: 1, failures: 0 });
    expect(valuesOf(run).log).toEqual(["a", "b", "c"]);
  });

  it("5: in the middle of a transaction is survived by the process, too", async () => {
    const { proxy, runtime } = await behindProxy();
    const held = runtime.db.transaction(async (tx) => {
      await tx.query({ text: "select 1", values: [] });
      proxy.reset();
      // Nothing is under way when the link breaks: only a listener on the connection itself hears of it.
      await sleep(200);
      await tx.query({ text: "select 1", values: [] });
    });
    await expect(held).rejects.toMatchObject({ name: "DatabaseAway" });
    expect((await runtime.db.query({ text: "select 2 as n", values: [] })).rows).toEqual([{ n: 2 }]);
  });

  it("10: that swallows the answer to a checkpoint's commit leaves one checkpoint and one event", async () => {
    const { direct, proxy, runtime } = await behindProxy();
    runtime.work();
    const cut = proxy.cutAfterServerCommit(/checkpoint\.group/);
    const run = await ended(runtime, {
      graphId: "steps",
      kwargs: { input: {}, stream_mode: ["values", "updates"] },
    });
    await cut;
    expect(run).toMatchObject({ status: "success", attempt: 1 });
    const { rows } = await direct.db.query({
      text: `select (select count(*) from public.checkpoints where thread_id = $1) as checkpoints,
                    (select count(*) from holdfast.run_events where run_id = $2::uuid) as events`,
      values: [run.thread_id, run.run_id],
    });
    expect(rows).toEqual([{ checkpoints: 5, events: 7 }]);
  });

  it("10: that swallows the answer to an outcome's commit settles the run once", async () => {
    const { direct, proxy, runtime } = await behindProxy();
    runtime.work();
    const cut = proxy.cutAfterServerCommit(commitOf(/settle\.finish/));
    const run = await ended(runtime, { graphId: "steps" });
    await cut;
    expect(run.status).toBe("success");
    const { rows } = await direct.db.query({
      text: "select outcome from holdfast.run_attempts where run_id = $1",
      values: [run.run_id],
    });
    expect(rows).toEqual([{ outcome: "success" }]);
  });
});

describe("the thread's lock", () => {
  it("17: lets no run stay blocked when its creation races the end of the run before it", async () => {
    const { db } = await runtimeOf();
    const view = { values: {}, interrupts: {}, parked: false };
    const outcomes: Outcome[] = [
      { kind: "success", view, questions: [], graphVersion: "1" },
      { kind: "cancelled", action: "interrupt" },
    ];
    for (let round = 0; round < 20; round += 1) {
      const outcome = outcomes[round % 2] as Outcome;
      const running = await makeRun(db, "running");
      const next = runRequest({ threadId: running.thread_id, graphId: running.graph_id });
      const [created] = await Promise.all([
        createRun(db, next),
        settle(db, { run: running, outcome, finalEvents: [] }),
      ]);
      expect((await runById(db, created.run.run_id)).status).toBe("queued");
    }
  });

  it("18: heartbeats over many runs and saver statements never deadlock", async () => {
    const { db, url } = await runtimeOf();
    const runs = await Promise.all(Array.from({ length: 12 }, () => makeRun(db, "running")));
    const own = openDatabase({ url, connectionsMax: 8 });
    open.push({ close: () => own.close() });
    const shuffled = <T>(items: T[]): T[] => [...items].sort(() => Math.random() - 0.5);
    const beats = Array.from({ length: 60 }, async () => {
      const some = shuffled(runs);
      const renewed = await renewLeases(own, {
        runIds: some.map((r) => r.run_id),
        epochs: some.map((r) => r.epoch),
        leaseSeconds: 30,
      });
      expect(renewed).toHaveLength(12);
    });
    const batch = await noEvents.take(null);
    const writes = Array.from({ length: 240 }, async (_, n) => {
      const run = runs[n % 12] as RunWithOutput;
      const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
      await writeAsRun(own, { ...lease, writes: [], replace: false, batch });
    });
    await Promise.all([...beats, ...writes]);
  });
});
