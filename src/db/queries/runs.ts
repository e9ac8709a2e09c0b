import type { AccessFilter } from "../../domain/access.ts";
import { query } from "../query.ts";
import { accessValue, ofVisibleThread } from "./access.ts";
import { whole } from "./parts.ts";
import { asRun, asRunWithOutput, runColumns } from "./rows.ts";
import { notingWebhooks } from "./webhooks.ts";

interface RunKey {
  runId: string;
  threadId: string | null;
  tenant: string;
}

export const getRun = query({
  name: "run.get",
  prepared: true,
  text: `
select ${runColumns("r")}, ${whole("r.thread_id", "r.output")} as output
  from holdfast.runs r where run_id = $1 and ($2::uuid is null or thread_id = $2) and tenant = $3`,
  values: (p: RunKey) => [p.runId, p.threadId, p.tenant],
  row: asRunWithOutput,
});

export const listRuns = query({
  name: "run.list",
  text: `
select * from holdfast.runs
 where thread_id = $1 and tenant = $2 and ($3::text[] is null or status = any($3))
 order by seq desc limit $4 offset $5`,
  values: (p: {
    threadId: string;
    tenant: string;
    statuses: string[] | null;
    limit: number;
    offset: number;
  }) => [p.threadId, p.tenant, p.statuses, p.limit, p.offset],
  row: asRun,
});

/** Unfinished runs to cancel together, waiting ones first: cancelling a head would promote the next. */
export const openRunsOf = query({
  name: "run.open_of",
  text: `
select * from holdfast.runs
 where tenant = $1 and ($2::uuid is null or thread_id = $2) and ($3::uuid[] is null or run_id = any($3))
   and status = any($4) and status in ('queued', 'blocked', 'running') and ${ofVisibleThread("runs", "$6")}
 order by seq desc limit $5`,
  values: (p: {
    tenant: string;
    threadId: string | null;
    runIds: string[] | null;
    statuses: string[];
    limit: number;
    access: AccessFilter | null;
  }) => [p.tenant, p.threadId, p.runIds, p.statuses, p.limit, accessValue(p)],
  row: asRun,
});

/** Locks a run that waits, against the claim; zero rows when it does not wait any more. */
export const holdWaiting = query({
  name: "cancel.hold",
  text: `select * from holdfast.runs where run_id = $1 and status in ('queued', 'blocked') for no key update`,
  values: (p: { runId: string }) => [p.runId],
  row: asRun,
});

/** Waiting runs end here and now; the thread is locked. */
export const cancelWaiting = query({
  name: "cancel.waiting",
  text: `
with ended as (
  update holdfast.runs set status = 'interrupted', finished_at = holdfast.now(), updated_at = holdfast.now()
   where run_id = $1 and status in ('queued', 'blocked') returning *
), ${notingWebhooks}
select * from ended`,
  values: (p: { runId: string }) => [p.runId],
  row: asRun,
});

/** A running run is asked; its worker sees it at the next beat or notification. Rollback wins over interrupt. */
export const requestCancel = query({
  name: "cancel.request",
  text: `
update holdfast.runs
   set cancel_requested = case when cancel_requested = 'rollback' then cancel_requested else $2 end,
       updated_at = holdfast.now()
 where run_id = $1 and status = 'running' returning *`,
  values: (p: { runId: string; action: string }) => [p.runId, p.action],
  row: asRun,
});

/** Removes a run that is not running; the thread is locked. */
export const removeRun = query({
  name: "run.remove",
  text: "delete from holdfast.runs where run_id = $1 and status <> 'running' returning *",
  values: (p: { runId: string }) => [p.runId],
  row: asRun,
});

/** Removes a run in any status: its holder finds its lease gone. The thread is locked. */
export const removeRunningToo = query({
  name: "run.remove_any",
  text: `delete from holdfast.runs where run_id = $1
            and status in ('queued', 'blocked', 'running', 'success', 'error', 'timeout', 'interrupted') returning *`,
  values: (p: { runId: string }) => [p.runId],
  row: asRun,
});

export const listAttempts = query({
  name: "run.attempts",
  text: "select * from holdfast.run_attempts where run_id = $1 order by epoch",
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => ({
    attempt: raw.attempt as number,
    epoch: raw.epoch as number,
    worker_id: raw.worker_id as string | null,
    outcome: raw.outcome as string,
    error: raw.error as unknown,
    retry_at: raw.retry_at as Date | null,
    started_at: raw.started_at as Date | null,
    ended_at: raw.ended_at as Date,
  }),
});

export const queueDepth = query({
  name: "run.depth",
  text: `
select status, count(*) as n, coalesce(extract(epoch from holdfast.now() - min(available_at)), 0)::float8 as oldest
  from holdfast.runs where status in ('queued', 'blocked', 'running') group by status`,
  values: () => [],
  row: (raw) => ({
    status: raw.status as string,
    count: raw.n as number,
    oldestSeconds: raw.oldest as number,
  }),
});
