import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRun } from "../../src/queue/create.ts";
import { runRequest } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
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
