import { emptyCheckpoint } from "@langchain/langgraph-checkpoint";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import { KnownParts } from "../../src/checkpoint/thread-parts.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { announcementSeq } from "../../src/domain/event.ts";
import { EventWriter } from "../../src/worker/event-writer.ts";
import { makeRun } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { signal } from "../support/scenario.ts";
import { eventsOf, until } from "../support/watch.ts";

let runtime: TestRuntime;
let run: RunRow;
beforeAll(async () => {
  runtime = await startRuntime();
});
afterAll(() => runtime.close());
beforeEach(async () => {
  run = await makeRun(runtime.db, "running");
});

function writer(overrides: Partial<ConstructorParameters<typeof EventWriter>[0]> = {}): EventWriter {
  const { db, group, bus } = runtime;
  const parts = new KnownParts({ on: db, threadId: run.thread_id });
  const onError = (error: unknown): void => {
    throw error;
  };
  const write = <T>(send: () => Promise<T>): Promise<T> => send();
  return new EventWriter({
    group,
    bus,
    run,
    nextSeq: announcementSeq + 1,
    parts,
    write,
    onError,
    ...overrides,
  });
}

/** Behind what its claim has said. */
async function storedEvents() {
  const [announcement, ...written] = await eventsOf(runtime.db, run.run_id);
  expect(announcement).toMatchObject({ seq: announcementSeq, event: "metadata" });
  return written;
}

it("the end of an attempt waits for events that are on their way into the database", async () => {
  const [begun, released] = [signal(), signal()];
  const events = writer({
    write: async (statement) => {
      begun.give();
      await released.given;
      return statement();
    },
  });
  events.ready({ event: "values", data: "1", step: 0 });
  await begun.given;
  events.held("", { event: "updates", data: "2", step: 1 });
  const finished = events.finish();
  expect(await Promise.race([finished, new Promise((resolve) => setImmediate(resolve, "waits"))])).toBe(
    "waits",
  );
  released.give();
  expect(await finished).toEqual([{ event: "updates", data: "2", step: 1 }]);
  expect(await storedEvents()).toMatchObject([{ seq: announcementSeq + 1, event: "values" }]);
});

const token = { event: "messages", data: "0", step: 0 };

it("a step's events are numbered behind all that came before them, however many those are", async () => {
  const events = writer();
  for (let n = 0; n < 1_200; n += 1) events.ready(token);
  events.held("", { event: "updates", data: "1", step: 0 });
  const batch = await events.take("");
  const { run_id: runId, thread_id: threadId, epoch } = run;
  await runtime.group.write({ runId, threadId, epoch, puts: [], writes: [], replace: false, batch });
  batch.release(true);
  await events.finish();
  const stored = (await storedEvents()).map(({ event }) => event);
  expect(stored.slice(1_199)).toEqual(["messages", "updates"]);
});

it("events that were stored while the attempt was told to stop are not stored again", async () => {
  const events = writer({
    write: async (statement) => {
      await statement();
      throw new Error("told to stop");
    },
    onError: () => undefined,
  });
  events.ready(token);
  const stored = async (): Promise<true | undefined> => (await storedEvents()).length === 1 || undefined;
  await until(runtime.bus, stored, "the event to be stored");
  expect(await events.finish()).toEqual([]);
  expect(await storedEvents()).toHaveLength(1);
});

it("a step's events that were committed while the attempt was told to stop are not stored again", async () => {
  const { run_id: runId, thread_id: threadId, epoch } = run;
  const events = writer();
  const saver = new FencedSaver({
    db: runtime.db,
    holder: { kind: "run", runId, threadId, epoch },
    group: runtime.group,
    events,
    write: async (_kind, statement) => {
      await statement();
      throw new Error("told to stop");
    },
  });
  events.held("", { event: "updates", data: "1", step: 0 });
  const config = { configurable: { thread_id: threadId, checkpoint_ns: "" } };
  const put = saver.put(config, emptyCheckpoint(), { source: "loop", step: 0, parents: {} }, {});
  await expect(put).rejects.toThrow("told to stop");
  expect(await events.finish()).toEqual([]);
  expect(await storedEvents()).toMatchObject([{ event: "updates" }]);
});

it("a burst of events is stored whole, though no other event comes", async () => {
  const events = writer();
  for (let n = 0; n < 1_200; n += 1) events.ready(token);
  const all = async (): Promise<true | undefined> => (await storedEvents()).length === 1_200 || undefined;
  await until(runtime.bus, all, "all events to be stored");
});

it("what a graph still says after the end of its attempt is forgotten", async () => {
  const events = writer();
  await events.finish();
  events.ready(token);
  events.held("", token);
  expect(events.waits("")).toBe(false);
  expect(await events.finish()).toEqual([]);
  expect(await storedEvents()).toEqual([]);
});

it("an attempt ends when too much waits, with an error that says so", async () => {
  const failures: unknown[] = [];
  const away = signal();
  const events = writer({
    write: (statement) => away.given.then(statement),
    onError: (error) => failures.push(error),
  });
  const large = { ...token, data: JSON.stringify("x".repeat(1_000_000)) };
  for (let n = 0; n < 80; n += 1) {
    if (n % 2 === 0) events.ready(large);
    else events.held("", large);
  }
  expect(failures).toHaveLength(1);
  expect(failures[0]).toBeInstanceOf(Transient);
  expect(failures[0]).toMatchObject({ message: expect.stringContaining("64000000 characters wait") });
  expect(await events.finish()).toEqual([]);
});

it("many events pass one after the other where they are stored in between", async () => {
  const events = writer();
  const large = { ...token, data: JSON.stringify("x".repeat(10_000_000)) };
  for (let n = 0; n < 8; n += 1) {
    events.ready(large);
    (await events.take(null)).release(true);
  }
  expect(await events.finish()).toEqual([]);
});
