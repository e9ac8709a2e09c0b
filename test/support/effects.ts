import { END, START, StateGraph } from "@langchain/langgraph";
import { onTestFinished } from "vitest";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { Transient } from "../../src/domain/errors.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { expireLeases } from "./factory.ts";
import type { TestRuntime } from "./runtime.ts";
import { accepted, answering, LogState, rowsOf, runtimeWith } from "./scenario.ts";
import { untilEnded } from "./watch.ts";

type Work = () => Promise<unknown>;

/** One node that does the work, and logs what it gave. */
export const graphOf = (work: Work) =>
  new StateGraph(LogState)
    .addNode("work", async () => ({ log: [JSON.stringify(await work())] }))
    .addEdge(START, "work")
    .addEdge("work", END)
    .compile();

export interface Bench {
  runtime: TestRuntime;
  /** Works on a new run until it has ended, while the database's clock goes forward. */
  run(overrides?: Partial<CreateRun>): Promise<RunWithOutput>;
  /** Answers the open questions of a thread by what each payload asks, and works until that run has ended. */
  answer(
    threadId: string,
    response: Response | ((payload: string) => Response | null),
  ): Promise<RunWithOutput>;
}
export interface Response {
  type: string;
  args: unknown;
}

/** Time passes only while nothing but a due time is waited for, and then to just that time. */
async function untilDue(runtime: TestRuntime): Promise<void> {
  const due = await rowsOf(
    runtime,
    `select min(available_at) as at from holdfast.runs where status = 'queued'
     having min(available_at) > holdfast.now() and not exists (select 1 from holdfast.runs where status = 'running')`,
  ).catch(() => []);
  const at = due[0]?.at;
  if (at instanceof Date) runtime.clock.set(new Date(at.getTime() + 1));
}

/** A runtime with one worker and a clock of its own, which goes forward to the next due time. */
export async function benchWith(graph: unknown): Promise<Bench> {
  const runtime = await runtimeWith(graph);
  onTestFinished(() => setFailpoints(undefined));
  runtime.clock.set(new Date("2030-01-01T00:00:00Z"));
  // Leases run on that clock too: a slow machine must not lose them.
  runtime.work({ pollMillis: 20, leaseSeconds: 3_600 });
  const run = async (overrides: Partial<CreateRun> = {}): Promise<RunWithOutput> => {
    const { run_id: runId } = await accepted(runtime, overrides);
    const forward = setInterval(() => void untilDue(runtime), 20);
    return untilEnded(runtime, runId).finally(() => clearInterval(forward));
  };
  return {
    runtime,
    run,
    async answer(threadId, response) {
      const open = await openQuestions(runtime, threadId);
      const choose = typeof response === "function" ? response : (): Response => response;
      const resume = Object.fromEntries(
        open.flatMap(({ interrupt_id, payload }) => {
          const chosen = choose(String(payload));
          return chosen === null ? [] : [[String(interrupt_id), [chosen]]];
        }),
      );
      return run({ threadId, kwargs: answering(resume) });
    },
  };
}

export const openQuestions = (runtime: TestRuntime, threadId: string): Promise<Record<string, unknown>[]> =>
  rowsOf(
    runtime,
    "select * from holdfast.escalations where thread_id = $1 and status = 'open' order by created_at, ordinal",
    threadId,
  );

export const ledgerRows = (runtime: TestRuntime): Promise<Record<string, unknown>[]> =>
  rowsOf(runtime, "select * from holdfast.effects order by prepared_at, ordinal");

export const statesOf = async (runtime: TestRuntime): Promise<unknown[]> =>
  (await ledgerRows(runtime)).map(({ tool, state }) => `${tool} ${state}`);

/** Fails the attempt once, where a crash would have cut it. */
export function failOnceAt(boundary: string, nth = 1): void {
  let seen = 0;
  setFailpoints((name) => {
    if (name !== boundary) return undefined;
    seen += 1;
    if (seen !== nth) return undefined;
    throw new Transient("cut off here");
  });
}

/** Another worker takes over at this point, as after a long stop. */
export function loseLeaseOnceAt(boundary: string, bench: () => Bench | undefined): void {
  let armed = true;
  setFailpoints(async (name) => {
    const runtime = bench()?.runtime;
    if (name !== boundary || !armed || runtime === undefined) return;
    armed = false;
    await expireLeases(runtime.db);
    await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
  });
}

/** Names of the failpoints that were hit, in order; a hit may be cut off as well. */
export function recordFailpoints(): string[] {
  const names: string[] = [];
  setFailpoints((name) => {
    names.push(name);
    return undefined;
  });
  return names;
}
