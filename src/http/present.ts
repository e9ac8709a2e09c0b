// Rows in the form that clients of the Agent Server know.
import type {
  AssistantRow,
  AssistantVersionRow,
  CronRow,
  EscalationRow,
  RunRow,
  ThreadHead,
  ThreadRow,
} from "../db/queries/rows.ts";
import { withoutUser } from "../domain/caller.ts";
import { wireStatus } from "../domain/run.ts";

const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text));

export function presentThread(thread: ThreadRow): Record<string, unknown> {
  const { thread_id, created_at, updated_at, state_updated_at, metadata, status, config } = thread;
  const error = thread.error === null ? {} : { error: thread.error };
  const key = thread.key === null ? {} : { key: thread.key };
  return {
    thread_id,
    created_at,
    updated_at,
    state_updated_at,
    metadata,
    status,
    config,
    values: parsed(thread.values),
    interrupts: parsed(thread.interrupts) ?? {},
    ...error,
    ...key,
  };
}

/** The time to live of a thread, for clients that ask for it. */
export function presentTtl({
  ttl_minutes: deleted,
  keep_latest_minutes: kept,
  updated_at,
}: ThreadHead): Record<string, unknown> | null {
  const ttl_minutes = deleted ?? kept;
  if (ttl_minutes === null) return null;
  const expires_at = new Date(updated_at.getTime() + ttl_minutes * 60_000);
  return { strategy: deleted === null ? "keep_latest" : "delete", ttl_minutes, expires_at };
}

export function presentRun(run: RunRow): Record<string, unknown> {
  const { run_id, thread_id, assistant_id, metadata, kwargs, multitask_strategy, created_at, updated_at } =
    run;
  const status = wireStatus(run.status);
  return {
    run_id,
    thread_id,
    assistant_id,
    metadata,
    status,
    kwargs: withoutUser(kwargs),
    multitask_strategy,
    created_at,
    updated_at,
  };
}

export function presentAssistant(assistant: AssistantRow): Record<string, unknown> {
  return { ...presentAssistantVersion(assistant), updated_at: assistant.updated_at };
}

export function presentAssistantVersion(row: AssistantVersionRow): Record<string, unknown> {
  return pick(row, [
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "version",
    "config",
    "context",
    "metadata",
    "created_at",
  ]);
}

/** `missed`, `last_run_id` and `last_error` are ours. */
export function presentCron(cron: CronRow): Record<string, unknown> {
  const { tenant: _, principal, payload, ...rest } = cron;
  return {
    ...rest,
    user_id: principal,
    payload: { assistant_id: cron.assistant_id, ...withoutUser(payload) },
  };
}

export function presentEscalation(row: EscalationRow): Record<string, unknown> {
  const { tenant: _, payload, decision, ...rest } = row;
  return { ...rest, payload: parsed(payload), decision: parsed(decision) };
}

/** Some fields of a row, as they are. */
export function pick<T, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}
