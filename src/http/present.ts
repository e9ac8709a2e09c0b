// Rows in the form that clients of the Agent Server know.
import type {
  AssistantRow,
  AssistantVersionRow,
  CronRow,
  EscalationRow,
  RunRow,
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
export function presentTtl({ ttl_minutes, updated_at }: ThreadRow): Record<string, unknown> | null {
  if (ttl_minutes === null) return null;
  const expires_at = new Date(updated_at.getTime() + ttl_minutes * 60_000);
  return { strategy: "delete", ttl_minutes, expires_at };
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

/** Only the fields that a search asked for; the id always comes along. */
export function selected(
  item: Record<string, unknown>,
  { select, idField }: { select: readonly string[] | null | undefined; idField: string },
): Record<string, unknown> {
  if (select === null || select === undefined || select.length === 0) return item;
  return Object.fromEntries(Object.entries(item).filter(([key]) => key === idField || select.includes(key)));
}

/** How many there are in all. Each row of a page tells it; a page behind the end has none, so there they are counted. */
export async function totalOf(
  found: readonly { total: number }[],
  { offset, count }: { offset: number; count: () => Promise<number[]> },
): Promise<number> {
  const [first] = found;
  if (first !== undefined || offset === 0) return first?.total ?? 0;
  const [counted = 0] = await count();
  return counted;
}

export function pageHeaders({
  total,
  limit,
  offset,
}: {
  total: number;
  limit: number;
  offset: number;
}): Record<string, string> {
  const next = offset + limit;
  return {
    "x-pagination-total": String(total),
    ...(next < total ? { "x-pagination-next": String(next) } : {}),
  };
}

/** Some fields of a row, as they are. */
export function pick<T, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}
