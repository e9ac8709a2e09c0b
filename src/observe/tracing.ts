import { setTimeout as sleep } from "node:timers/promises";
import type { BaseCallbackHandler } from "@langchain/core/callbacks/base";
import { awaitAllCallbacks } from "@langchain/core/callbacks/promises";
import { LangChainTracer } from "@langchain/core/tracers/tracer_langchain";
import { Client, getDefaultProjectName } from "langsmith";
import { v5 } from "uuid";

/** LangSmith's own default is 1 GiB: a down endpoint would eat the worker's memory. */
const queueBytesMax = 50 * 1024 * 1024;
/** Unbounded, flushing takes over 20 s when the endpoint is down. */
const flushMillisMax = 3_000;
const requestMillisMax = 5_000;

export interface TracedRun {
  run_id: string;
  graph_id: string;
  attempt: number;
}

export interface Tracing {
  /** For one run; `langsmith_project` and `langsmith_example_id` send its trace there as well. */
  callbacksFor(configurable: Record<string, unknown>): BaseCallbackHandler[];
  /** The trace's root is our run: the first attempt under the run's own id, later ones under ids made from it. */
  forRun(run: TracedRun): { runId: string; runName: string };
  /** Where feedback on the run may be left, by its key; nothing without tracing. */
  feedbackUrls(run: TracedRun, keys: readonly string[]): Promise<Record<string, string>>;
  /** Sends what waits, for at most three seconds. */
  flush(): Promise<void>;
}

/** `enabled` comes from LangSmith's usual variables; the client reads endpoint, key and project from them itself. */
export function openTracing({ enabled }: { enabled: boolean }): Tracing {
  const client = enabled
    ? new Client({
        maxIngestMemoryBytes: queueBytesMax,
        timeout_ms: requestMillisMax,
        blockOnRootRunFinalization: false,
      })
    : undefined;
  const shared = client === undefined ? [] : [new LangChainTracer({ client: client as never })];
  const forRun: Tracing["forRun"] = ({ run_id, graph_id, attempt }) => ({
    runId: attempt <= 1 ? run_id : v5(String(attempt), run_id),
    runName: graph_id,
  });
  return {
    forRun,
    callbacksFor({ langsmith_project: project, langsmith_example_id: example }) {
      if (client === undefined || typeof project !== "string") return shared;
      const replicas = [
        [project, { reference_example_id: example }],
        [getDefaultProjectName(), undefined],
      ];
      return [new LangChainTracer({ client: client as never, replicas: replicas as never })];
    },
    async feedbackUrls(run, keys) {
      if (client === undefined) return {};
      const { runId } = forRun(run);
      const urls = await Promise.all(
        keys.map(async (key) => [key, (await client.createPresignedFeedbackToken(runId, key)).url] as const),
      );
      return Object.fromEntries(urls);
    },
    async flush() {
      if (client === undefined) return;
      const flushed = Promise.all([awaitAllCallbacks(), client.awaitPendingTraceBatches()]);
      await Promise.race([flushed, sleep(flushMillisMax, undefined, { ref: false })]);
    },
  };
}
