import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { effect } from "../../src/effects/effect.ts";
import { listen } from "../../src/http/listen.ts";
import { senderOf } from "../support/dead-letters.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";

let runtime: TestRuntime;
let server: Awaited<ReturnType<typeof listen>>;
let client: Client;
let send: ReturnType<typeof senderOf>["send"];

beforeAll(async () => {
  runtime = await startRuntime();
  runtime.work();
  const sender = senderOf(runtime);
  send = sender.send;
  server = await listen({ app: sender.app, host: "127.0.0.1", port: 0 });
  client = new Client({ apiUrl: server.url, callerOptions: { maxRetries: 0 } });
});
afterAll(async () => {
  await server.stop();
  await runtime.close();
});

async function valuesIn(history: string): Promise<unknown[]> {
  return (await client.threads.getHistory(history, { limit: 50 })).map((state) => ({
    values: state.values,
    next: state.next,
    step: state.metadata?.step,
    checkpoint: state.checkpoint.checkpoint_id,
    parent: state.parent_checkpoint?.checkpoint_id,
  }));
}
async function interruptIdOf(threadId: string): Promise<string> {
  const { tasks } = await client.threads.getState(threadId);
  return String(tasks[0]?.interrupts[0]?.id);
}

describe("a copy of a thread", () => {
  it("has its state and whole history, and goes on without touching it", async () => {
    const { thread_id } = await client.threads.create({ metadata: { customer: "c1" } });
    await client.runs.wait(thread_id, "steps", { input: { log: ["in"] } });
    const copy = await client.threads.copy(thread_id);
    expect(copy.thread_id).not.toBe(thread_id);
    expect(copy).toMatchObject({
      status: "idle",
      metadata: { customer: "c1", thread_id: copy.thread_id, graph_id: "steps" },
      values: { log: ["in", "a", "b", "c"] },
      interrupts: {},
    });
    const before = await valuesIn(thread_id);
    expect(before).toHaveLength(5);
    expect(await valuesIn(copy.thread_id)).toEqual(before);
    expect(await client.runs.list(copy.thread_id)).toEqual([]);
    const more = await client.runs.wait(copy.thread_id, "steps", { input: { log: ["again"] } });
    expect(more).toEqual({ log: ["in", "a", "b", "c", "again", "a", "b", "c"] });
    expect(await valuesIn(thread_id)).toEqual(before);
    await client.threads.delete(thread_id);
    expect(await valuesIn(copy.thread_id)).toHaveLength(10);
  });

  it("can be forked at a checkpoint that it was copied with", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "steps", { input: { log: ["in"] } });
    const copy = await client.threads.copy(thread_id);
    const [, onto] = await client.threads.getHistory(copy.thread_id);
    const forked = await client.runs.wait(copy.thread_id, "steps", {
      input: null,
      checkpointId: String(onto?.checkpoint.checkpoint_id),
    });
    expect(forked).toEqual({ log: ["in", "a", "b", "c"] });
  });

  it("waits for an answer of its own: the other's neither reaches it nor is taken by it", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "approval", { input: {} });
    const copy = (await client.threads.copy(thread_id)).thread_id;
    expect(await client.threads.get(copy)).toMatchObject({
      status: "interrupted",
      values: { log: ["draft"] },
    });
    const [theirs, ours] = [await interruptIdOf(thread_id), await interruptIdOf(copy)];
    expect(ours).not.toBe(theirs);
    const answer = (id: string) =>
      client.runs.wait(copy, "approval", { command: { resume: { [id]: "yes" } } });
    await expect(answer(theirs)).rejects.toMatchObject({ status: 409 });
    expect(await answer(ours)).toEqual({ log: ["draft", "gate:yes", "pay"] });
    expect((await client.threads.get(thread_id)).status).toBe("interrupted");
    expect(await client.runs.wait(thread_id, "approval", { command: { resume: "no" } })).toEqual({
      log: ["draft", "gate:no", "pay"],
    });
  });

  it("finds the answer that its task had got before it was copied, two subgraphs deep as well", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "nested", { input: {} });
    await client.runs.wait(thread_id, "nested", { command: { resume: "first" } });
    const copy = (await client.threads.copy(thread_id)).thread_id;
    const questions = await send("GET", `/escalations?thread_id=${copy}&status=open`);
    expect(questions.text).toContain("inner 2");
    const done = await client.runs.wait(copy, "nested", { command: { resume: "second" } });
    expect((done as { log: string[] }).log).toContain("ask:first,second");
  });

  it("is asked by escalations of its own, which are decided like any other", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, "approval", { input: {} });
    const copy = (await client.threads.copy(thread_id)).thread_id;
    const [question] = (await send("GET", `/escalations?thread_id=${copy}&status=open`)).json;
    const decided = await send("POST", `/escalations/${question.escalation_id}/decide`, { resume: "yes" });
    expect(decided.status).toBe(202);
    const [run] = await client.runs.list(copy);
    await client.runs.join(copy, String(run?.run_id));
    expect(await client.threads.get(copy)).toMatchObject({
      status: "idle",
      values: { log: ["draft", "gate:yes", "pay"] },
    });
    expect((await send("GET", `/escalations?thread_id=${thread_id}&status=open`)).json).toHaveLength(1);
  });

  it("asks again what has been answered but not taken up yet", async () => {
    const other = await startRuntime();
    const { app } = senderOf(other);
    const listening = await listen({ app, host: "127.0.0.1", port: 0 });
    try {
      const sdk = new Client({ apiUrl: listening.url, callerOptions: { maxRetries: 0 } });
      const { stop } = other.work();
      const { thread_id } = await sdk.threads.create();
      await sdk.runs.wait(thread_id, "nested", { input: {} });
      await sdk.runs.wait(thread_id, "nested", { command: { resume: "first" } });
      await stop(1_000);
      await sdk.runs.create(thread_id, "nested", { command: { resume: "second" } });
      const copy = await sdk.threads.copy(thread_id);
      expect(copy.status).toBe("interrupted");
      other.work();
      const done = await sdk.runs.wait(copy.thread_id, "nested", { command: { resume: "other" } });
      expect((done as { log: string[] }).log).toContain("ask:first,other");
    } finally {
      await listening.stop();
      await other.close();
    }
  });

  it("of a thread that works is what has been committed, and is not busy", async () => {
    const { thread_id } = await client.threads.create();
    const run = await client.runs.create(thread_id, "steps", { input: { log: ["in"], wait: 300 } });
    for await (const event of client.runs.joinStream(thread_id, run.run_id)) {
      if (event.event === "values" && JSON.stringify(event.data).includes('"a"')) break;
    }
    const copy = await client.threads.copy(thread_id);
    const { log } = copy.values as { log: string[] };
    expect(["in", "a", "b", "c"].slice(0, log.length)).toEqual(log);
    expect(log.length).toBeGreaterThan(1);
    expect(copy.status).not.toBe("busy");
    await client.runs.join(thread_id, run.run_id);
    const done = await client.runs.wait(copy.thread_id, "steps", { input: null });
    expect((done as { log: string[] }).log).toEqual(["in", "a", "b", "c"]);
  });

  it("is whole at every moment of a run: each goes on to the same end", async () => {
    const { thread_id } = await client.threads.create();
    const run = await client.runs.create(thread_id, "steps", { input: { log: ["in"], wait: 150 } });
    const copies: string[] = [];
    while ((await client.runs.get(thread_id, run.run_id)).status !== "success") {
      copies.push((await client.threads.copy(thread_id)).thread_id);
    }
    expect(copies.length).toBeGreaterThan(2);
    const lengths = new Set<number>();
    for (const copy of copies) {
      const { values } = await client.threads.getState(copy);
      // Copied before the run's first checkpoint.
      if (values === null || Object.keys(values).length === 0) continue;
      const { length } = (values as { log: string[] }).log;
      lengths.add(length);
      // With its tasks' writes committed and its checkpoint not yet, a step looks like the end: only the values tell.
      const done = length === 4 ? values : await client.runs.wait(copy, "steps", { input: null });
      expect((done as { log: string[] }).log).toEqual(["in", "a", "b", "c"]);
    }
    expect(lengths.size).toBeGreaterThan(1);
  });

  it("is refused when it would be larger than a copy may be", async () => {
    const { thread_id } = await client.threads.create();
    // It is compressed where it lies: what counts is what a copy would have to write.
    await runtime.db.query({
      text: `insert into public.checkpoint_blobs (thread_id, channel, version, type, blob)
             select $1, 'big', n::text, 'bytes', convert_to(repeat('x', 90000000), 'UTF8') from generate_series(1, 3) n`,
      values: [thread_id],
    });
    const refused = await send("POST", `/threads/${thread_id}/copy`);
    expect(refused.status).toBe(409);
    expect(refused.text).toContain("a copy may have 268435456");
  });

  it("of a thread without state is an empty one", async () => {
    const { thread_id } = await client.threads.create({ metadata: { a: 1 } });
    const copy = await client.threads.copy(thread_id);
    expect(copy).toMatchObject({ status: "idle", values: null, metadata: { a: 1 } });
  });

  it("does not exist for an unknown thread or one of another tenant: 409, as the Agent Server answers", async () => {
    const missing = { status: 409, text: "Thread not found" };
    expect(await send("POST", `/threads/${crypto.randomUUID()}/copy`)).toMatchObject(missing);
    const { thread_id } = await client.threads.create();
    await runtime.db.query({
      text: "update holdfast.threads set tenant = 'other' where thread_id = $1",
      values: [thread_id],
    });
    expect(await send("POST", `/threads/${thread_id}/copy`)).toMatchObject(missing);
    expect((await send("POST", "/threads/nothing/copy")).status).toBe(400);
    expect(await send("POST", `/threads/${thread_id}/copy`, { holdfast_effects: "reuse" })).toMatchObject({
      status: 422,
    });
  });
});

const Log = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
});

/** Pays, then asks in the same node. */
const paysAndAsks = (paid: string[]) =>
  new StateGraph(Log)
    .addNode("pay", async () => {
      await effect({ name: "pay", args: { sum: 7 } }, async (key) => paid.push(key));
      return { log: [`paid:${interrupt("fine?")}`] };
    })
    .addEdge(START, "pay")
    .addEdge("pay", END)
    .compile();

describe("a copy of a thread with effects", () => {
  it("is refused while the step that has them goes on, unless the caller lets the copy repeat them", async () => {
    const paid: string[] = [];
    const other = await startRuntime({ registry: await registryOf("any", paysAndAsks(paid)) });
    try {
      other.work();
      const { app, send: ask } = senderOf(other);
      const listening = await listen({ app, host: "127.0.0.1", port: 0 });
      const sdk = new Client({ apiUrl: listening.url, callerOptions: { maxRetries: 0 } });
      try {
        const { thread_id } = await sdk.threads.create();
        await sdk.runs.wait(thread_id, "any", { input: {} });
        const threads = await sdk.threads.count();
        const refused = await ask("POST", `/threads/${thread_id}/copy`);
        expect(refused.status).toBe(409);
        expect(refused.text).toMatch(/pay \(succeeded .*arguments [0-9a-f]{12}\)/);
        expect(await sdk.threads.count()).toBe(threads);
        const copy = await ask("POST", `/threads/${thread_id}/copy`, { holdfast_effects: "repeat" });
        await sdk.runs.wait(copy.json.thread_id, "any", { command: { resume: "copy" } });
        expect(paid).toHaveLength(2);
        await sdk.runs.wait(thread_id, "any", { command: { resume: "yes" } });
        expect(paid).toHaveLength(2);
        expect(await sdk.threads.copy(thread_id)).toMatchObject({ values: { log: ["paid:yes"] } });
      } finally {
        await listening.stop();
      }
    } finally {
      await other.close();
    }
  });
});
