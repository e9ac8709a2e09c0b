// The life of a run, as data. SQL guards every move; docs/architecture.md draws this table.

/** Statuses as stored. A wire client sees `queued` and `blocked` as `pending`. */
export const runStatuses = [
  "queued",
  "blocked",
  "running",
  "success",
  "error",
  "timeout",
  "interrupted",
] as const;
export type RunStatus = (typeof runStatuses)[number];
export type WireRunStatus = "pending" | "running" | "success" | "error" | "timeout" | "interrupted";

/** Which status may follow which. A terminal status has no successor. */
export const nextStatuses: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  blocked: ["queued", "interrupted"],
  queued: ["running", "interrupted"],
  running: ["queued", "success", "error", "timeout", "interrupted"],
  success: [],
  error: [],
  timeout: [],
  interrupted: [],
};

export const isTerminal = (status: RunStatus): boolean => nextStatuses[status].length === 0;

/** Nobody has worked on it before its holder of now: no attempt of it has written anything. */
export const isFirstClaim = (run: { epoch: number; first_epoch: number | null }): boolean =>
  run.epoch === run.first_epoch;

/** Nobody has ever written a checkpoint of its thread. */
export const isOfNewThread = (
  run: Parameters<typeof isFirstClaim>[0] & { has_checkpoints?: boolean },
): boolean => isFirstClaim(run) && run.has_checkpoints === false;

export function wireStatus(status: RunStatus): WireRunStatus {
  return status === "queued" || status === "blocked" ? "pending" : status;
}

export const multitaskStrategies = ["reject", "enqueue", "interrupt", "rollback"] as const;
export type MultitaskStrategy = (typeof multitaskStrategies)[number];

export const cancelActions = ["interrupt", "rollback"] as const;
export type CancelAction = (typeof cancelActions)[number];

/**
 * What a run that starts at an older point may do about effects that lie behind it: `reuse` returns their stored
 * results, `repeat` does them again, `deny` refuses the run.
 */
export const effectsPolicies = ["reuse", "repeat", "deny"] as const;
export type EffectsPolicy = (typeof effectsPolicies)[number];

/** Travels as the SDK lets it: what a run that starts at an older point does about the effects behind it. */
export const effectsPolicyKey = "holdfast_effects";

/** A run as somebody asks for it, parsed: what is left out is decided later, by assistant and thread. */
export interface AskedRun {
  input?: unknown;
  command?: { resume?: unknown; update?: unknown; goto?: unknown } | null | undefined;
  config?:
    | {
        tags?: string[] | null | undefined;
        recursion_limit?: number | null | undefined;
        configurable?: Record<string, unknown> | null | undefined;
      }
    | null
    | undefined;
  context?: Record<string, unknown> | null | undefined;
  metadata?: Record<string, unknown> | null | undefined;
  checkpoint_id?: string | null | undefined;
  checkpoint?:
    | {
        checkpoint_id?: string | null | undefined;
        checkpoint_ns?: string | null | undefined;
        checkpoint_map?: Record<string, string> | null | undefined;
      }
    | null
    | undefined;
  webhook?: string | null | undefined;
  interrupt_before?: "*" | string[] | null | undefined;
  interrupt_after?: "*" | string[] | null | undefined;
  stream_mode?: string | string[] | null | undefined;
  stream_subgraphs?: boolean | null | undefined;
  stream_protocol?: "v2" | undefined;
  feedback_keys?: string[] | null | undefined;
  langsmith_tracer?:
    | { project_name?: string | null | undefined; example_id?: string | null | undefined }
    | null
    | undefined;
  on_completion?: "delete" | "keep" | null | undefined;
  multitask_strategy?: MultitaskStrategy | null | undefined;
  after_seconds?: number | null | undefined;
  if_not_exists?: "reject" | "create" | null | undefined;
}

/** What a run was asked to do, merged with its assistant's and its thread's settings, as stored. */
export interface RunKwargs {
  input?: unknown;
  command?: RunCommand;
  config?: RunConfig;
  context?: Record<string, unknown>;
  checkpoint?: { checkpoint_id: string; checkpoint_ns?: string; checkpoint_map?: Record<string, string> };
  stream_mode: string[];
  stream_subgraphs?: boolean;
  /** Its events are stored in the form of the newer streaming protocol. */
  stream_protocol?: "v2";
  interrupt_before?: "*" | string[];
  interrupt_after?: "*" | string[];
  webhook?: string;
  feedback_keys?: string[];
}

export interface RunConfig {
  tags?: string[];
  recursion_limit?: number;
  configurable?: Record<string, unknown>;
}

export interface RunCommand {
  resume?: unknown;
  update?: unknown;
  goto?: unknown;
}

/** Answers of this run to parked questions, bound when the run was accepted: one entry for each task. */
export interface ResumeAnswer {
  taskId: string;
  checkpointNs: string;
  checkpointId: string;
  /** Every answer the task has got so far, oldest first, this run's last. */
  answers: unknown[];
  /** Who gave the last one. */
  by?: string;
}

export interface RunError {
  code: string;
  name: string;
  message: string;
  /** Messages of the causes, outermost first. */
  causes?: string[];
  stack?: string;
}

/** Without what would make LangGraph start at another checkpoint: that is `RunKwargs.checkpoint`, and about one run alone. */
export function withoutStart(configurable: Record<string, unknown>): Record<string, unknown> {
  const { checkpoint_id: _id, checkpoint_ns: _ns, checkpoint_map: _map, ...rest } = configurable;
  return rest;
}
