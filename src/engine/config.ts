import type { RunnableConfig } from "@langchain/core/runnables";
import type { RunRow } from "../db/queries/rows.ts";
import { withoutStart } from "../domain/run.ts";
import { type EffectRuntime, effectsKey } from "../effects/effect.ts";
import { type ModelRuntime, modelsKey } from "../models/runtime.ts";
import type { Tracing } from "../observe/tracing.ts";
import type { Graph } from "./registry.ts";

/** LangGraph's own default. */
const stepsMaxDefault = 25;

interface Parts {
  run: RunRow;
  graph: Graph;
  /** Where to fork from; empty to go on from the latest checkpoint. */
  fork: Record<string, unknown>;
  effects: EffectRuntime;
  models: ModelRuntime;
  tracing: Tracing;
}

/** What the graph's nodes see: the caller's config with our ids, which a caller cannot override. */
export function graphConfig({
  run,
  graph,
  fork,
  effects,
  models,
  tracing,
}: Parts): RunnableConfig & { context?: Record<string, unknown> } {
  const { config = {}, context } = run.kwargs;
  const callbacks = tracing.callbacksFor(config.configurable ?? {});
  const ids = {
    thread_id: run.thread_id,
    run_id: run.run_id,
    graph_id: run.graph_id,
    assistant_id: run.assistant_id,
  };
  return {
    ...tracing.forRun(run),
    ...(config.tags === undefined ? {} : { tags: config.tags }),
    recursionLimit: config.recursion_limit ?? graph.config?.recursionLimit ?? stepsMaxDefault,
    configurable: {
      ...withoutStart(config.configurable ?? {}),
      ...fork,
      ...ids,
      [effectsKey]: effects,
      [modelsKey]: models,
    },
    metadata: { ...run.metadata, ...ids, run_attempt: run.attempt },
    // Without any, LangGraph makes no callback managers for nodes and edges.
    ...(callbacks.length === 0 ? {} : { callbacks }),
    ...(context === undefined ? {} : { context }),
  };
}
