import { AIMessage } from "@langchain/core/messages";
import {
  Annotation,
  entrypoint,
  MemorySaver,
  MessagesAnnotation,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { getThreadHead } from "../../src/db/queries/threads.ts";
import { one } from "../../src/db/query.ts";
import { handsInputOn } from "../../src/engine/registry.ts";
import { readState } from "../../src/engine/state.ts";
import { createRun } from "../../src/queue/create.ts";
import { runRequest } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted, LogState, rowsOf, runtimeWith } from "../support/scenario.ts";
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

describe("what a thread shows at the end of a run", () => {
  const words = "word ".repeat(4_000);
  const State = Annotation.Root({
    messages: MessagesAnnotation.spec.messages,
    note: Annotation<string>(),
    seen: Annotation<{ words: number }>(),
  });
  const answered = () =>
    new StateGraph(State)
      .addNode("prepare", () => ({ note: "noted", seen: { words: 4_000 } }))
      .addNode("answer", () => ({ messages: [new AIMessage({ id: "2", content: words })] }))
      .addEdge(START, "prepare")
      .addEdge("prepare", "answer");
  const input = { messages: [{ type: "human", id: "1", content: words }] };

  async function shownAt(graph: { compile(): unknown }) {
    const runtime = await runtimeWith(graph.compile());
    runtime.work();
    const run = await accepted(runtime, { kwargs: { input, stream_mode: ["values"] } });
    const ended = await untilEnded(runtime, run.run_id);
    const [thread] = await rowsOf(
      runtime,
      "select holdfast.whole(thread_id, values) as values from holdfast.threads",
    );
    const head = one(await getThreadHead(runtime.db, { threadId: run.thread_id, tenant: run.tenant }));
    if (head === undefined) throw new Error("the thread is gone");
    const state = await readState(runtime, head, { at: {}, subgraphs: false });
    const events = await eventsOf(runtime.db, run.run_id);
    return {
      thread: JSON.parse(String(thread?.values)),
      output: JSON.parse(ended.output ?? ""),
      stored: state.values,
      lastEvent: events.filter(({ event }) => event === "values").at(-1)?.data,
    };
  }

  it("is what is stored, and what was shown last, of a long state", async () => {
    const { thread, output, stored, lastEvent } = await shownAt(answered());
    expect(stored).toMatchObject({ note: "noted", messages: [{ id: "1" }, { id: "2", content: words }] });
    expect([thread, output, lastEvent]).toEqual([stored, stored, stored]);
  });

  it("is what is stored also where a node has changed a long value in place, and did not return it", async () => {
    const graph = answered()
      .addNode("spoil", ({ messages }) => {
        for (const message of messages) message.content = "spoilt";
        return { note: "done" };
      })
      .addEdge("answer", "spoil");
    const { thread, output, stored } = await shownAt(graph);
    expect(stored).toMatchObject({ note: "done", messages: [{ id: "1" }, { id: "2", content: words }] });
    expect([thread, output]).toEqual([stored, stored]);
  });

  it("is what is stored also where a node has changed a short value in place, and did not return it", async () => {
    const graph = new StateGraph(State)
      .addNode("prepare", () => ({ seen: { words: 1 } }))
      .addNode("answer", ({ seen }) => {
        seen.words = 2;
        return { messages: [new AIMessage({ id: "2", content: words })] };
      })
      .addEdge(START, "prepare")
      .addEdge("prepare", "answer");
    const { thread, output, stored } = await shownAt(graph);
    expect(stored).toMatchObject({ seen: { words: 1 }, messages: [{ id: "1" }, { id: "2" }] });
    expect([thread, output]).toEqual([stored, stored]);
  });
});
