import { afterEach, expect, it } from "vitest";
import { EventWriter } from "../../src/worker/event-writer.ts";
import { makeRun } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { eventsOf } from "../support/watch.ts";

let runtime: TestRuntime | undefined;
afterEach(() => runtime?.close());

it("the end of an attempt waits for events that are on their way into the database", async () => {
  runtime = await startRuntime();
  const { db, bus, group } = runtime;
  const run = await makeRun(db, "running");
  let begun: () => void = () => undefined;
  let go: () => void = () => undefined;
  const underWay = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const released = new Promise<void>((resolve) => {
    go = resolve;
  });
  const events = new EventWriter({
    group,
    bus,
    run,
    nextSeq: 0,
    write: async (statement) => {
      begun();
      await released;
      return statement();
    },
    onError: (error) => {
      throw error;
    },
  });
  events.ready({ event: "values", data: "1", step: 0 });
  await underWay;
  events.held("", { event: "updates", data: "2", step: 1 });
  const finished = events.finish();
  expect(await Promise.race([finished, new Promise((resolve) => setImmediate(resolve, "waits"))])).toBe(
    "waits",
  );
  go();
  expect(await finished).toEqual([{ event: "updates", data: "2", step: 1 }]);
  expect(await eventsOf(db, run.run_id)).toMatchObject([{ seq: 0, event: "values" }]);
});
