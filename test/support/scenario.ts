import { setTimeout as pause } from "node:timers/promises";
import { Annotation } from "@langchain/langgraph";
import { onTestFinished } from "vitest";
import type { RunRow, RunWithOutput } from "../../src/db/queries/rows.ts";
import type { Queryable } from "../../src/db/query.ts";
import { createRun } from "../../src/queue/create.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { runById, runRequest } from "./factory.ts";
import { registryOf, startRuntime, type TestRuntime } from "./runtime.ts";
import { until, untilEnded } from "./watch.ts";

/** The state of small graphs in tests: which nodes ran, in order. */
export const LogState = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** A runtime of this test: closed after it. With a graph, which is then called `any`, else with the test graphs. */
export async function runtimeWith(graph?: unknown, url?: string): Promise<TestRuntime> {
  const runtime = await startRuntime({
    ...(graph === undefined ? {} : { registry: await registryOf("any", graph) }),
    ...(url === undefined ? {} : { url }),
  });
  onTestFinished(() => runtime.close());
  return runtime;
}

export async function accepted(runtime: TestRuntime, overrides: Partial<CreateRun> = {}): Promise<RunRow> {
  const { run } = await createRun(runtime.db, runRequest({ graphId: "any", ...overrides }));
  runtime.bus.publish("queue", run.thread_id);
  return run;
}

/** Works on a run until it has ended, with a worker that is gone afterwards; its thread. */
export async function workedThread(
  runtime: TestRuntime,
  overrides: Partial<CreateRun> = {},
): Promise<string> {
  const { stop } = runtime.work();
  const run = await accepted(runtime, overrides);
  await untilEnded(runtime, run.run_id);
  await stop(2_000);
  return run.thread_id;
}

export const answering = (resume: unknown): CreateRun["kwargs"] => ({
  command: { resume },
  stream_mode: ["values"],
});

export function untilRow(
  { db, bus }: TestRuntime,
  runId: string,
  look: (run: RunWithOutput) => boolean,
): Promise<RunWithOutput> {
  const found = async (): Promise<RunWithOutput | undefined> => {
    const run = await runById(db, runId);
    return look(run) ? run : undefined;
  };
  return until(bus, found, `run ${runId} to get there`);
}

export async function rowsOf(
  { db }: { db: Queryable },
  text: string,
  ...values: unknown[]
): Promise<Record<string, unknown>[]> {
  return (await db.query({ text, values })).rows;
}

export const questionsOf = (runtime: { db: Queryable }): Promise<Record<string, unknown>[]> =>
  rowsOf(runtime, "select status, decision from holdfast.escalations order by created_at, ordinal");

/** Of the only thread there is. */
export const threadStatus = async (runtime: { db: Queryable }): Promise<unknown> =>
  (await rowsOf(runtime, "select status from holdfast.threads"))[0]?.status;

export const attemptsOf = async (runtime: { db: Queryable }, runId: string): Promise<unknown[]> =>
  (
    await rowsOf(runtime, "select outcome from holdfast.run_attempts where run_id = $1 order by epoch", runId)
  ).map(({ outcome }) => outcome);

export const logOf = (run: RunWithOutput): unknown => JSON.parse(run.output ?? "null")?.log;

/** Something that a test waits for, or lets go. */
export interface Signal {
  given: Promise<void>;
  give(): void;
}

export function signal(): Signal {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give };
}

const tickMillis = 20;
const secondsPerTick = 5;

/**
 * From now on the database's clock runs so fast that a wait of a minute is over in a quarter of a second. It stands
 * still while a run is worked on: a lease must not expire because the machine was slow.
 */
export function runFast(runtime: TestRuntime): void {
  runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
  let stopped = false;
  const forward = async (): Promise<void> => {
    while (!stopped) {
      const [held] = await rowsOf(runtime, "select 1 from holdfast.runs where status = 'running' limit 1");
      if (held === undefined) runtime.clock.advance(secondsPerTick * 1_000);
      await pause(tickMillis);
    }
  };
  const forwarding = forward();
  onTestFinished(async () => {
    stopped = true;
    await forwarding;
  });
}
