import { getConfig } from "@langchain/langgraph";
import type { EffectDeclaration } from "../domain/effect.ts";
import { Fatal } from "../domain/errors.ts";
import { declareInline } from "./declared.ts";
import { executionOf, isInsideCall } from "./execution.ts";
import { type Places, placesOf } from "./places.ts";
import { taskPlace } from "./task.ts";

/** Where the engine hands a run's ledger to its nodes. LangGraph passes it on, also into subgraphs. */
export const effectsKey = "__holdfast_effects";

interface Checkpoint {
  ns: string;
  id: string;
  /** Those of the graphs around it: one without a checkpointer gives other ids to all that is in it. */
  above: { ns: string; id: string }[];
}

export interface EffectCall {
  taskId: string;
  /** Which execution of the task this is: a retry of LangGraph's own asks for the same calls again. */
  execution: number;
  /** The checkpoint that the task runs on. Without it in the database, its id is another one on the next attempt. */
  checkpoint: Checkpoint;
  /** Given by the model; null for a plain call in a node. Never enough to tell calls apart: some models repeat ids. */
  toolCallId: string | null;
  declaration: EffectDeclaration;
  args: unknown;
  /** Whether a tool made it, whose own call is under way. */
  insideCall: boolean;
  /** Where a human is asked about it, and where its answers are. */
  places: Places;
}

export interface EffectRuntime {
  /** Performs a call once for its task and position, or returns what it returned before. */
  perform<R>(call: EffectCall, dispatch: (key: string) => Promise<R>): Promise<R>;
}

interface Executed {
  configurable?: Record<string, unknown>;
  executionInfo?: { taskId?: string; nodeAttempt?: number };
}

/** The checkpoints of the graphs around a namespace. */
function checkpointsAbove(ns: string, { configurable }: Executed): Checkpoint["above"] {
  const { checkpoint_map: map } = (configurable ?? {}) as { checkpoint_map?: Record<string, string> };
  const around = Object.entries(map ?? {}).filter(
    ([other]) => other !== ns && (other === "" || ns.startsWith(`${other}|`)),
  );
  return around.map(([other, id]) => ({ ns: other, id }));
}

export interface EffectOptions<A, R> extends EffectDeclaration<A, R> {
  /** JSON arguments: compared when the step is repeated, never part of the key. */
  args: A;
}

/**
 * Does something to the world once, although nodes may run more than once. Call it in a node; `dispatch` gets the
 * idempotency key to send along. Its result must be JSON; a repeated step returns the stored one.
 */
export async function effect<A, R>(
  { args, ...declaration }: EffectOptions<A, R>,
  dispatch: (key: string) => Promise<R>,
): Promise<R> {
  const inline = declaration as EffectDeclaration;
  if (inline.lookup !== undefined || inline.compensate !== undefined) declareInline(inline);
  return performEffect({ declaration: inline, args, toolCallId: null }, dispatch);
}

/** The same for a call that a model asked for. */
export async function performEffect<R>(
  call: Pick<EffectCall, "declaration" | "args" | "toolCallId">,
  dispatch: (key: string) => Promise<R>,
): Promise<R> {
  const config = getConfig();
  const runtime = config?.configurable?.[effectsKey] as EffectRuntime | undefined;
  const place = taskPlace(config, {});
  if (runtime === undefined || place === undefined) {
    throw new Fatal(`effect ${call.declaration.name} was called outside a node of a run`, {
      code: "effect_outside_run",
    });
  }
  const { taskId, checkpoint } = place;
  return runtime.perform(
    {
      ...call,
      taskId,
      execution: executionOf(config as Executed),
      checkpoint: { ...checkpoint, above: checkpointsAbove(checkpoint.ns, config as Executed) },
      insideCall: isInsideCall(config),
      places: placesOf(config.configurable ?? {}),
    },
    dispatch,
  );
}
