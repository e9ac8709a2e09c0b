import type { EscalationReason, EscalationStatus, ResponseType } from "../../domain/escalation.ts";
import type {
  AskedRun,
  CancelAction,
  EffectsPolicy,
  MultitaskStrategy,
  ResumeAnswer,
  RunError,
  RunKwargs,
  RunStatus,
} from "../../domain/run.ts";
import type { MissedPolicy } from "../../domain/schedule.ts";
import { whole } from "./parts.ts";

/** A row of holdfast.runs, parsed. Its output, which may be long, is read by `run.get` alone. */
export interface RunRow {
  run_id: string;
  seq: number;
  tenant: string;
  thread_id: string;
  assistant_id: string;
  graph_id: string;
  status: RunStatus;
  multitask_strategy: MultitaskStrategy;
  available_at: Date;
  delayed: boolean;
  temporary: boolean;
  kwargs: RunKwargs;
  metadata: Record<string, unknown>;
  resume: ResumeAnswer[] | null;
  input_applied: boolean;
  epoch: number;
  /** Of its first claim: its place among the runs of its thread. */
  first_epoch: number | null;
  attempt: number;
  failures: number;
  crashes: number;
  attempts_max: number;
  worker_id: string | null;
  lease_until: Date | null;
  cancel_requested: CancelAction | null;
  error: RunError | null;
  redrive_of: string | null;
  kind: "graph" | "compensation";
  /** Of a compensation: the run whose effects it undoes. */
  compensates: string | null;
  suspect: boolean;
  losses: number;
  fingerprint: string | null;
  effects_policy: EffectsPolicy | null;
  discarded_at: Date | null;
  discard_reason: string | null;
  created_at: Date;
  updated_at: Date;
  started_at: Date | null;
  claimed_at: Date | null;
  finished_at: Date | null;
  /** Told by a claim, of the time before it: whether the thread has checkpoints. */
  has_checkpoints?: boolean;
}

export interface RunWithOutput extends RunRow {
  /** JSON text. */
  output: string | null;
}

/** A thread without its values, which may be long. */
export interface ThreadHead {
  thread_id: string;
  tenant: string;
  status: "idle" | "busy" | "interrupted" | "error";
  metadata: Record<string, unknown>;
  config: Record<string, unknown>;
  graph_id: string | null;
  graph_version: string | null;
  epoch: number;
  interrupts: string | null;
  error: string | null;
  ttl_minutes: number | null;
  keep_latest_minutes: number | null;
  /** Its caller's own name for it. */
  key: string | null;
  state_updated_at: Date;
  created_at: Date;
  updated_at: Date;
}

export interface ThreadRow extends ThreadHead {
  /** JSON text. */
  values: string | null;
}

/** What an assistant was at one time. */
export interface AssistantVersionRow {
  assistant_id: string;
  version: number;
  graph_id: string;
  name: string;
  description: string | null;
  config: Record<string, unknown>;
  context: Record<string, unknown>;
  metadata: Record<string, unknown>;
  created_at: Date;
}

export interface AssistantRow extends AssistantVersionRow {
  tenant: string;
  /** A graph's own: every tenant sees it. */
  system: boolean;
  last_version: number;
  updated_at: Date;
}

export interface EscalationRow {
  escalation_id: string;
  tenant: string;
  thread_id: string;
  run_id: string | null;
  graph_id: string;
  node: string;
  task_id: string;
  ordinal: number;
  interrupt_id: string | null;
  checkpoint_ns: string;
  checkpoint_id: string;
  payload: string;
  payload_digest: string;
  reasons: EscalationReason[];
  allowed_decisions: ResponseType[];
  assignee: string | null;
  priority: number;
  sla_at: Date | null;
  expires_at: Date | null;
  on_expiry: "reject" | "approve" | null;
  status: EscalationStatus;
  decision: string | null;
  decided_by: string | null;
  decided_at: Date | null;
  resume_run_id: string | null;
  /** The effect that it asks about. */
  effect_id: string | null;
  /** Asked by a stuck compensation, not by an interrupt of the graph. */
  compensation: boolean;
  created_at: Date;
}

export interface CronRow {
  cron_id: string;
  tenant: string;
  principal: string;
  assistant_id: string;
  thread_id: string | null;
  schedule: string;
  timezone: string | null;
  end_time: Date | null;
  enabled: boolean;
  missed: MissedPolicy;
  on_run_completed: "delete" | "keep";
  /** What each run gets, without its metadata. */
  payload: AskedRun;
  metadata: Record<string, unknown>;
  next_run_date: Date | null;
  last_run_id: string | null;
  last_error: string | null;
  created_at: Date;
  updated_at: Date;
}

/**
 * Columns by name, for statements that are planned once for each connection: one that a newer version adds does not break
 * the plans of an older process that still runs.
 */
const runColumnNames = Object.keys({
  run_id: true,
  seq: true,
  tenant: true,
  thread_id: true,
  assistant_id: true,
  graph_id: true,
  status: true,
  multitask_strategy: true,
  available_at: true,
  delayed: true,
  temporary: true,
  kwargs: true,
  metadata: true,
  resume: true,
  input_applied: true,
  epoch: true,
  first_epoch: true,
  attempt: true,
  failures: true,
  crashes: true,
  attempts_max: true,
  worker_id: true,
  lease_until: true,
  cancel_requested: true,
  error: true,
  redrive_of: true,
  kind: true,
  compensates: true,
  suspect: true,
  losses: true,
  fingerprint: true,
  effects_policy: true,
  discarded_at: true,
  discard_reason: true,
  created_at: true,
  updated_at: true,
  started_at: true,
  claimed_at: true,
  finished_at: true,
} satisfies Record<Exclude<keyof RunRow, "has_checkpoints">, true>);
const threadColumnNames = Object.keys({
  thread_id: true,
  tenant: true,
  status: true,
  metadata: true,
  config: true,
  graph_id: true,
  graph_version: true,
  epoch: true,
  interrupts: true,
  error: true,
  ttl_minutes: true,
  keep_latest_minutes: true,
  key: true,
  state_updated_at: true,
  created_at: true,
  updated_at: true,
} satisfies Record<keyof ThreadHead, true>);
const escalationColumnNames = Object.keys({
  escalation_id: true,
  tenant: true,
  thread_id: true,
  run_id: true,
  graph_id: true,
  node: true,
  task_id: true,
  ordinal: true,
  interrupt_id: true,
  checkpoint_ns: true,
  checkpoint_id: true,
  payload: true,
  payload_digest: true,
  reasons: true,
  allowed_decisions: true,
  assignee: true,
  priority: true,
  sla_at: true,
  expires_at: true,
  on_expiry: true,
  status: true,
  decision: true,
  decided_by: true,
  decided_at: true,
  resume_run_id: true,
  effect_id: true,
  compensation: true,
  created_at: true,
} satisfies Record<keyof EscalationRow, true>);

const columns =
  (names: readonly string[]) =>
  (of: string): string =>
    names.map((name) => `${of}."${name}"`).join(", ");
export const runColumns = columns(runColumnNames);
export const threadHeadColumns = columns(threadColumnNames);
export const threadColumns = (of: string): string =>
  `${threadHeadColumns(of)}, ${whole(`${of}.thread_id`, `${of}."values"`)} as "values"`;
export const escalationColumns = columns(escalationColumnNames);

// pg parses the columns; the schema's own checks make these casts true.
export const asRun = (raw: Record<string, unknown>): RunRow => raw as unknown as RunRow;
export const asRunWithOutput = (raw: Record<string, unknown>): RunWithOutput =>
  raw as unknown as RunWithOutput;
export const asThreadHead = (raw: Record<string, unknown>): ThreadHead => raw as unknown as ThreadHead;
export const asThread = (raw: Record<string, unknown>): ThreadRow => raw as unknown as ThreadRow;
export const asAssistant = (raw: Record<string, unknown>): AssistantRow => raw as unknown as AssistantRow;
export const asAssistantVersion = (raw: Record<string, unknown>): AssistantVersionRow =>
  raw as unknown as AssistantVersionRow;
export const asEscalation = (raw: Record<string, unknown>): EscalationRow => raw as unknown as EscalationRow;
export const asCron = (raw: Record<string, unknown>): CronRow => raw as unknown as CronRow;
