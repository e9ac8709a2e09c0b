// What a run lends to its model calls: the journal, the shared breaker, the limits of the process. Graphs make their
// models themselves, so it travels in the config of the run. Read next: calls.ts (how a call is made).
import type { RunnableConfig } from "@langchain/core/runnables";
import { getConfig } from "@langchain/langgraph";
import type { Database } from "../db/pool.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { type ModelJournal, openJournal } from "../effects/journal.ts";
import { type TaskPlace, taskPlace } from "../effects/task.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { countTokens } from "../observe/tokens.ts";
import type { TokenUsage } from "./answer.ts";
import { type Breaker, sharedBreaker } from "./breaker.ts";
import type { Slots } from "./slots.ts";

/** Where the engine hands it to the nodes. LangGraph passes it on, also into subgraphs. */
export const modelsKey = "__holdfast_models";

/** What somebody hears of a call. */
export interface CallEvents {
  answered(model: string, usage: TokenUsage | null): void;
  fellBack(from: string, to: string): void;
  replayed(): void;
  /** The provider refused the key: nothing that asks it will work until somebody mends it. */
  invalidKey(target: string, status: number | undefined): void;
}

export interface ModelRuntime {
  journal: ModelJournal | null;
  breaker: Breaker;
  slots: Slots;
  events: CallEvents;
  /** Of the run: a node may give its calls a signal of its own instead. */
  signal?: AbortSignal;
}

interface Deps {
  db: Database;
  run: RunRow;
  log: Log;
  metrics: Metrics;
  slots: Slots;
  signal: AbortSignal;
  write: <T>(kind: "journal" | "read", statement: () => Promise<T>) => Promise<T>;
  /** When a checkpoint that is on its way is stored, or has failed. */
  settled: (ns: string, checkpointId: string) => Promise<void>;
}

/** The runtime of one attempt. */
export function openModels({ db, run, log, metrics, slots, signal, write, settled }: Deps): ModelRuntime {
  const ids = { run_id: run.run_id, thread_id: run.thread_id, graph: run.graph_id };
  const counted = { metrics, graphId: run.graph_id };
  return {
    journal: openJournal({ db, run, settled, write: (statement) => write("journal", statement) }),
    breaker: sharedBreaker({ db, log, read: (statement) => write("read", statement) }),
    slots,
    signal,
    events: {
      answered(model, usage) {
        if (usage !== null) countTokens(counted, { model, ...usage });
      },
      fellBack(from, to) {
        metrics.fallbacks.inc({ from, to });
        log.warn({ ...ids, from, to }, "a fallback model answered");
      },
      replayed: () => metrics.replays.inc({ graph: run.graph_id }),
      invalidKey(target, status) {
        metrics.invalidKeys.inc({ target });
        log.error({ ...ids, alert: "invalid_key", target, status }, "the model's provider refused the key");
      },
    },
  };
}

/** For models outside a run. */
export const silent: CallEvents = {
  answered: () => undefined,
  fellBack: () => undefined,
  replayed: () => undefined,
  invalidKey: () => undefined,
};

export interface Surroundings {
  runtime: ModelRuntime | undefined;
  place: TaskPlace | undefined;
  /** Of the run or its node. */
  signal: AbortSignal | undefined;
}

/** Where a call's options carry the config that it was made with: while it streams, LangChain forgets it. */
export const callerConfig = Symbol("holdfast.callerConfig");

/** The run that the calling code belongs to, if any. `options` are those of the call. */
export function surroundings(options: { [callerConfig]?: RunnableConfig }): Surroundings {
  const config = options[callerConfig] ?? getConfig();
  const runtime = config?.configurable?.[modelsKey] as ModelRuntime | undefined;
  return { runtime, place: taskPlace(config, options), signal: config?.signal };
}
