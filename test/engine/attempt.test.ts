import { Annotation, entrypoint, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { handsInputOn } from "../../src/engine/registry.ts";
import { createRun } from "../../src/queue/create.ts";
import { runRequest } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted, LogState, runtimeWith } from "../support/scenario.ts";
import { eventsOf, untilEnded } from "../support/watch.ts";

describe("a run", () => {
  let runtime: TestRuntime;
  beforeEach(async () => {
    runtime = await startRuntime();
  });
  afterEach(() => runtime.close());

  it("goes through its steps and ends with their values", async () => {
    runtime.work();
    const { run } = await createRun(
      runtime.db,
      runRequest({
        graphId: "steps",
        kwargs: { input: { log: ["in"] }, stream_mode: ["values", "updates"] },
      }),
    );
    runtime.bus.publish("queue", run.thread_id);
    const ended = await untilEnded(runtime, run.run_id);
    expect(ended).toMatchObject({ status: "success", attempt: 1 });
    expect(JSON.parse(ended.output ?? "")).toEqual({ log: ["in", "a", "b", "c"] });
    const events = await eventsOf(runtime.db, run.run_id);
    expect(events.map((e) => e.event)).toEqual([
      "metadata",
      "values",
      "updates",
      "values",
      "updates",
      "values",
      "updates",
      "values",
    ]);
    expect(events.map((e) => e.seq)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("parks at a question, takes the answer once and goes on", async () => {
    runtime.work();
    const first = await createRun(runtime.db, runRequest({ graphId: "approval" }));
    runtime.bus.publish("queue", "*");
    await untilEnded(runtime, first.run.run_id);
    const threadId = first.run.thread_id;
    const resume = runRequest({
      graphId: "approval",
      threadId,
      kwargs: { command: { resume: "yes" }, stream_mode: ["values"] },
    });
    const second = await createRun(runtime.db, resume);
    runtime.bus.publish("queue", "*");
    const ended = await untilEnded(runtime, second.run.run_id);
    expect(JSON.parse(ended.output ?? "")).toEqual({ log: ["draft", "gate:yes", "pay"] });
    await expect(createRun(runtime.db, resume)).rejects.toThrow("waits for no answer");
  });
});

describe("the input of a run", () => {
  const working = () => new StateGraph(LogState).addNode("work", () => ({ log: ["work"] }));
  const stepsOf = async ({ db }: TestRuntime, threadId: string): Promise<unknown[]> => {
    const text = "select metadata->'step' as step from public.checkpoints where thread_id = $1 order by seq";
    return (await db.query({ text, values: [threadId] })).rows.map(({ step }) => step);
  };

  it("is on its thread with the step behind it, in their order", async () => {
    const runtime = await runtimeWith(working().addEdge(START, "work").compile());
    runtime.work();
    const run = await accepted(runtime, { kwargs: { input: { log: ["in"] }, stream_mode: ["values"] } });
    await untilEnded(runtime, run.run_id);
    expect(await stepsOf(runtime, run.thread_id)).toEqual([-1, 0, 1]);
  });

  it("stays on its thread when the state cannot take it in", async () => {
    const State = Annotation.Root({
      log: Annotation<string[]>({
        reducer: () => {
          throw new TypeError("no list of mine");
        },
        default: () => [],
      }),
    });
    const graph = new StateGraph(State).addNode("work", () => ({})).addEdge(START, "work");
    const runtime = await runtimeWith(graph.compile());
    runtime.work();
    const run = await accepted(runtime, { kwargs: { input: { log: ["in"] }, stream_mode: ["values"] } });
    expect(await untilEnded(runtime, run.run_id)).toMatchObject({ status: "error" });
    expect(await stepsOf(runtime, run.thread_id)).toEqual([-1]);
  });

  it("waits for the step behind it only where nothing of the team's runs in that", () => {
    expect(handsInputOn(working().addEdge(START, "work").compile() as never)).toBe(true);
    const asked = working().addConditionalEdges(START, () => "work");
    expect(handsInputOn(asked.compile() as never)).toBe(false);
    const checkpointer = new MemorySaver();
    const functional = entrypoint({ name: "work", checkpointer }, async (input: string) => input);
    expect(handsInputOn(functional as never)).toBe(false);
  });
});
