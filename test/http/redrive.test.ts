import { Annotation, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { sentOf } from "../support/http.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { untilEnded } from "../support/watch.ts";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
});
let broken = true;

const graph = new StateGraph(State)
  .addNode("first", () => ({ log: ["first"] }))
  .addNode("ask", () => ({ log: [`answer ${interrupt("?")}`] }))
  .addNode("last", () => {
    if (broken) throw new TypeError("broken");
    return { log: ["last"] };
  })
  .addEdge(START, "first")
  .addEdge("first", "ask")
  .addEdge("ask", "last")
  .addEdge("last", END)
  .compile();

let runtime: TestRuntime;
let app: ReturnType<typeof createApp>;
beforeAll(async () => {
  runtime = await startRuntime({ registry: await registryOf("any", graph) });
  app = createApp({ ...runtime, config: { ...httpDefaults, version: "test" }, ready: async () => true });
});
afterAll(() => runtime.close());

async function send(method: string, url: string, body?: unknown) {
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  return sentOf(await app.request(url, { method, headers: { "content-type": "application/json" }, ...init }));
}
const start = async (url: string, body: Record<string, unknown>): Promise<string> =>
  (await send("POST", url, { assistant_id: "any", ...body })).json.run_id;
const ended = (runId: string) => untilEnded(runtime, runId);
const values = async (thread: string) => (await send("GET", `/threads/${thread}`)).json.values;

async function parked(): Promise<string> {
  const { json } = await send("POST", "/threads", {});
  const work = runtime.work();
  await ended(await start(`/threads/${json.thread_id}/runs`, { input: {} }));
  await work.stop(2_000);
  return json.thread_id;
}

describe("redriving a dead run", () => {
  it("goes on from its last checkpoint, with the answer it was given", async () => {
    broken = true;
    const thread = await parked();
    const work = runtime.work();
    const dead = await start(`/threads/${thread}/runs`, { command: { resume: "yes" } });
    expect(await ended(dead)).toMatchObject({ status: "error" });
    expect((await send("GET", `/threads/${thread}/explain`)).json).toMatchObject({
      failed_step: { nodes: ["last"] },
      safe_to_retry: { safe: true },
    });
    broken = false;
    const [first, second] = await Promise.all([
      send("POST", `/dead-letters/${dead}/redrive`),
      send("POST", `/dead-letters/${dead}/redrive`),
    ]);
    const [won, lost] = first.status === 202 ? [first, second] : [second, first];
    expect(lost).toMatchObject({ status: 409, json: { winner: { run_id: won.json.run_id } } });
    expect(await ended(won.json.run_id)).toMatchObject({ status: "success", redrive_of: dead });
    expect(await values(thread)).toEqual({ log: ["first", "answer yes", "last"] });
    await work.stop(2_000);
  });

  it("uses an answer that was never applied, in the name of who gave it", async () => {
    broken = false;
    const thread = await parked();
    expect((await send("GET", `/threads/${thread}/explain`)).json).toMatchObject({
      doing: "waiting for 1 human answer",
      open_questions: [{ node: "ask" }],
    });
    const dead = await start(`/threads/${thread}/runs`, { command: { resume: "sure" } });
    await runtime.db.query({
      text: `update holdfast.runs set status = 'error', finished_at = now(),
                    error = '{"code":"crash_budget","name":"WorkerCrashed","message":"x"}',
                    resume = jsonb_set(resume, '{0,by}', '"ann"') where run_id = $1`,
      values: [dead],
    });
    const { json } = await send("POST", `/dead-letters/${dead}/redrive`);
    const work = runtime.work();
    await ended(json.run_id);
    expect(await values(thread)).toEqual({ log: ["first", "answer sure", "last"] });
    const [question] = (await send("GET", `/escalations?thread_id=${thread}`)).json;
    expect(question).toMatchObject({ status: "decided", decided_by: "ann", resume_run_id: json.run_id });
    await work.stop(2_000);
  });

  it("is possible again when the redrive was cancelled before it did anything", async () => {
    broken = true;
    const thread = await parked();
    const work = runtime.work();
    const dead = await start(`/threads/${thread}/runs`, { command: { resume: "yes" } });
    await ended(dead);
    await work.stop(2_000);
    broken = false;
    const { json: cancelled } = await send("POST", `/dead-letters/${dead}/redrive`);
    await send("POST", `/threads/${thread}/runs/${cancelled.run_id}/cancel`);
    expect(await ended(cancelled.run_id)).toMatchObject({ status: "interrupted" });
    const again = await send("POST", `/dead-letters/${dead}/redrive`);
    expect(again.status).toBe(202);
    const later = runtime.work();
    await ended(again.json.run_id);
    expect(await values(thread)).toEqual({ log: ["first", "answer yes", "last"] });
    await later.stop(2_000);
  });

  it("is refused when its thread has moved on", async () => {
    broken = true;
    const thread = await parked();
    const work = runtime.work();
    const dead = await start(`/threads/${thread}/runs`, { command: { resume: "yes" } });
    await ended(dead);
    await ended(await start(`/threads/${thread}/runs`, { input: { log: ["new"] } }));
    expect((await send("POST", `/dead-letters/${dead}/redrive`)).json.detail).toMatch(/later run/);
    await work.stop(2_000);
  });
});
