import { isCheckpointEnvelope } from "@langchain/langgraph";
import type { NativeMode } from "./chunk.ts";

type Plain = Record<string, unknown>;

/**
 * What LangGraph tells about checkpoints and tasks, in the Agent Server's shape. Its configs hold handlers, the
 * saver and other parts of the runtime: only what a caller may know is kept of them. Undefined for what is not shown.
 */
export function presentChunk(mode: NativeMode, payload: unknown): unknown {
  if (mode === "tasks") return presentTask(payload as Plain);
  if (mode === "debug") return presentDebug(payload as Plain & { payload: Plain });
  if (mode !== "checkpoints") return payload;
  // A short form of a checkpoint that travels with `values`; who asks for checkpoints gets them whole.
  if (isCheckpointEnvelope(payload)) return undefined;
  const { values, metadata, next } = payload as Plain;
  return { values, metadata, next };
}

/** A task that begins, and neither its end nor a checkpoint: it is about a step that is under way. */
export function isTaskStart(mode: NativeMode, payload: unknown): boolean {
  if (mode === "debug") return (payload as Plain).type === "task";
  return mode === "tasks" && !("result" in (payload as Plain)) && !("error" in (payload as Plain));
}

function presentDebug(chunk: Plain & { payload: Plain }): Plain {
  if (chunk.type === "checkpoint") return { ...chunk, payload: presentCheckpoint(chunk.payload) };
  return { ...chunk, payload: presentTask(chunk.payload) };
}

function presentCheckpoint({ config, parentConfig, tasks, ...rest }: Plain): Plain {
  return {
    ...rest,
    config: callersConfig(config),
    checkpoint: placeOf(config),
    parent_checkpoint: placeOf(parentConfig),
    ...(parentConfig === undefined ? {} : { parent_config: callersConfig(parentConfig) }),
    tasks: (tasks as Plain[]).map(presentTask),
  };
}

/** `state` of a task is where its subgraph is, until the subgraph is read as well. */
function presentTask(task: Plain): Plain {
  const { state, ...rest } = task;
  const configurable = configurableOf(state);
  if (configurable?.thread_id === undefined) return task;
  return { ...rest, checkpoint: placeIn(configurable) };
}

function placeOf(config: unknown): Plain | null {
  const configurable = configurableOf(config);
  return configurable?.checkpoint_id === undefined ? null : placeIn(configurable);
}

function placeIn({ thread_id, checkpoint_id, checkpoint_ns, checkpoint_map }: Plain): Plain {
  return {
    thread_id,
    checkpoint_id: checkpoint_id ?? null,
    checkpoint_ns: checkpoint_ns ?? "",
    checkpoint_map: checkpoint_map ?? null,
  };
}

function callersConfig(config: unknown): unknown {
  const { metadata, tags, recursion_limit } = config as Plain;
  const configurable = Object.entries(configurableOf(config) ?? {}).filter(([key]) => !key.startsWith("__"));
  return { configurable: Object.fromEntries(configurable), metadata, recursion_limit, tags };
}

function configurableOf(config: unknown): Plain | undefined {
  if (typeof config !== "object" || config === null || !("configurable" in config)) return undefined;
  return (config.configurable ?? undefined) as Plain | undefined;
}
