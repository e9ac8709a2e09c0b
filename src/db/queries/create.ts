// Accepting work. The caller locks the thread in a statement of its own first: only a later statement sees the
// runs that were committed while the lock was waited for.
import { minutesOf, type ThreadTtl } from "../../domain/lifetimes.ts";
import type { EffectsPolicy } from "../../domain/run.ts";
import { query } from "../query.ts";
import { asRun, asThread, asThreadHead, runColumns, threadColumns, threadHeadColumns } from "./rows.ts";

// Not `for update`: an effect's row refers to the thread while it holds its run, and would wait the other way round.
export const lockThread = query({
  name: "thread.lock",
  prepared: true,
  text: `select ${threadHeadColumns("t")} from holdfast.threads t where thread_id = $1 and tenant = $2 for no key update`,
  values: (p: { threadId: string; tenant: string }) => [p.threadId, p.tenant],
  row: asThreadHead,
});

export interface NewThread {
  threadId: string;
  tenant: string;
  metadata: unknown;
  ttl?: ThreadTtl | null;
  /** The one that its id is made from. */
  key?: string | null | undefined;
}

/** Zero rows when a thread of that id exists. */
export const insertThread = query({
  name: "thread.insert",
  prepared: true,
  text: `insert into holdfast.threads as t (thread_id, tenant, metadata, ttl_minutes, keep_latest_minutes, key)
         values ($1, $2, $3, $4, $5, $6) on conflict (thread_id) do nothing returning ${threadColumns("t")}`,
  values: (p: NewThread) => [
    p.threadId,
    p.tenant,
    JSON.stringify(p.metadata),
    minutesOf(p.ttl, "delete"),
    minutesOf(p.ttl, "keep_latest"),
    p.key ?? null,
  ],
  row: asThread,
});

/** Runs of a thread that are not finished, oldest first. */
export const openRuns = query({
  name: "run.open_of_thread",
  prepared: true,
  text: `select ${runColumns("r")} from holdfast.runs r
          where thread_id = $1 and status in ('queued', 'blocked', 'running') order by seq`,
  values: (p: { threadId: string }) => [p.threadId],
  row: asRun,
});

export interface NewRun {
  runId: string;
  tenant: string;
  threadId: string;
  assistantId: string;
  graphId: string;
  multitaskStrategy: string;
  /** Seconds until it may start. */
  afterSeconds: number;
  temporary: boolean;
  kwargs: unknown;
  metadata: unknown;
  resume: unknown;
  attemptsMax: number;
  redriveOf: string | null;
  effectsPolicy?: EffectsPolicy | null;
}

/**
 * Queued when the thread has no head and the run is due, else blocked. A redrive is the head also while it waits for
 * its time: it goes on from the thread as it is now, and no other run may change that. It starts from the thread's epoch.
 */
export const insertRun = query({
  name: "run.insert",
  prepared: true,
  text: `
insert into holdfast.runs as r (run_id, tenant, thread_id, assistant_id, graph_id, multitask_strategy, available_at, delayed,
                           temporary, kwargs, metadata, resume, attempts_max, redrive_of, effects_policy, epoch, status)
select $1, $2, $3, $4, $5, $6, holdfast.now() + $7 * interval '1 second', $7 > 0, $8, $9, $10, $11, $12, $13, $14, t.epoch,
       case when ($7 > 0 and $13::uuid is null)
              or exists (select 1 from holdfast.runs o where o.thread_id = $3 and o.status in ('queued', 'running'))
            then 'blocked' else 'queued' end
  from holdfast.threads t where t.thread_id = $3
returning ${runColumns("r")}`,
  values: (p: NewRun) => [
    p.runId,
    p.tenant,
    p.threadId,
    p.assistantId,
    p.graphId,
    p.multitaskStrategy,
    p.afterSeconds,
    p.temporary,
    JSON.stringify(p.kwargs),
    JSON.stringify(p.metadata),
    p.resume === null ? null : JSON.stringify(p.resume),
    p.attemptsMax,
    p.redriveOf,
    p.effectsPolicy ?? null,
  ],
  row: asRun,
});

/** Shows on the thread that it works, and for which graph. */
export const markThreadBusy = query({
  name: "thread.busy",
  prepared: true,
  text: `update holdfast.threads
            set status = 'busy', graph_id = $2, updated_at = holdfast.now(),
                metadata = metadata || jsonb_build_object('graph_id', $2::text, 'assistant_id', $3::text),
                config = config || coalesce($4::jsonb, '{}')
          where thread_id = $1 returning thread_id`,
  values: (p: { threadId: string; graphId: string; assistantId: string; config: unknown }) => [
    p.threadId,
    p.graphId,
    p.assistantId,
    p.config === null ? null : JSON.stringify(p.config),
  ],
  row: (raw) => raw.thread_id as string,
});

/** One row when the key is new; a concurrent holder of the same key is waited for. */
export const takeIdempotencyKey = query({
  name: "idempotency.take",
  text: `insert into holdfast.idempotency_keys (tenant, key, request_digest, run_id)
         values ($1, $2, $3, $4) on conflict do nothing returning key`,
  values: (p: { tenant: string; key: string; digest: string; runId: string }) => [
    p.tenant,
    p.key,
    p.digest,
    p.runId,
  ],
  row: (raw) => raw.key as string,
});

export const readIdempotencyKey = query({
  name: "idempotency.read",
  text: "select request_digest, run_id from holdfast.idempotency_keys where tenant = $1 and key = $2",
  values: (p: { tenant: string; key: string }) => [p.tenant, p.key],
  row: (raw) => ({ digest: raw.request_digest as string, runId: raw.run_id as string }),
});
