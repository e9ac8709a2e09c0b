// Compensation: which effects of an ended run are to be undone, the run that does it, and what a human decided
// about one that could not be. Callers that move runs hold the thread's lock.
import type { EffectClass } from "../../domain/effect.ts";
import type { EscalationReason, ResponseType } from "../../domain/escalation.ts";
import { query } from "../query.ts";
import type { EffectRow } from "./effect-rows.ts";
import { asRun } from "./rows.ts";

const asEffect = (raw: Record<string, unknown>): EffectRow => raw as unknown as EffectRow;

const resumesFollowedMax = 1_000;

/**
 * $1 is the run that ended, $2 its thread. The run that asked for an approval ended in success, and the answer
 * started another one: their effects belong to the same piece of work.
 */
const undone = `
with recursive work (run_id, depth) as (
  select $1::uuid, 0
  union
  select e.run_id, w.depth + 1 from holdfast.escalations e join work w on e.resume_run_id = w.run_id
   where e.thread_id = $2 and e.run_id is not null and not e.compensation and w.depth < ${resumesFollowedMax}
), done as (
  select e.* from holdfast.effects e
   where e.thread_id = $2 and e.run_id in (select run_id from work)
     and e.class = 'compensatable' and e.compensates is null and e.reuses is null
), pending as (
  select * from done
   where state in ('succeeded', 'reconciled_done', 'dispatched', 'unknown', 'escalated')
     and compensated_at is null and compensation_decision is null
)`;

interface Work {
  /** The run whose effects are undone. */
  runId: string;
  threadId: string;
}

export interface PendingEffect extends EffectRow {
  class: EffectClass;
  /** Milliseconds since it was last sent. */
  age_ms: number | null;
}

/** The effect that is to be undone next: the one that took place last. */
export const nextToCompensate = query({
  name: "compensation.next",
  text: `${undone}
select *, extract(epoch from holdfast.now() - dispatched_at)::float8 * 1000 as age_ms from pending
 order by coalesce(settled_at, dispatched_at) desc, seq desc limit 1`,
  values: (p: Work) => [p.runId, p.threadId],
  row: (raw) => asEffect(raw) as PendingEffect,
});

export interface NewCompensation extends Work {
  compensationId: string;
  tenant: string;
  assistantId: string;
  graphId: string;
  temporary: boolean;
  kwargs: unknown;
  metadata: unknown;
  attemptsMax: number;
  /** The compensation that was stuck, when a human has decided. */
  redriveOf: string | null;
  /** The epoch of the run that ended: its thread may lag behind it. */
  epoch: number;
}

/**
 * Makes the compensation the head of its thread, from the highest epoch used there. Zero rows when nothing is to be
 * undone and no human asked to go on.
 */
export const insertCompensation = query({
  name: "compensation.insert",
  text: `${undone}, busy as (
  update holdfast.threads t set status = 'busy', epoch = greatest(t.epoch, $11::bigint), updated_at = holdfast.now()
   where t.thread_id = $2 and ($10::uuid is not null or exists (select 1 from pending)) returning t.epoch
)
insert into holdfast.runs (run_id, tenant, thread_id, assistant_id, graph_id, multitask_strategy, available_at, temporary,
                           kwargs, metadata, attempts_max, redrive_of, kind, compensates, epoch, status)
select $3, $4, $2, $5, $6, 'enqueue', holdfast.now(), $7, $8, $9, $12, $10, 'compensation', $1, busy.epoch, 'queued'
  from busy
returning *`,
  values: (p: NewCompensation) => [
    p.runId,
    p.threadId,
    p.compensationId,
    p.tenant,
    p.assistantId,
    p.graphId,
    p.temporary,
    JSON.stringify(p.kwargs),
    JSON.stringify(p.metadata),
    p.redriveOf,
    p.epoch,
    p.attemptsMax,
  ],
  row: asRun,
});

interface Lease {
  runId: string;
  threadId: string;
  epoch: number;
}
const lease = `select run_id, epoch from holdfast.runs
   where run_id = $1 and thread_id = $2 and epoch = $3 and status = 'running' for share`;

/** Finds or prepares the row of the one compensation that an effect can have; zero rows means the lease is gone. */
export const prepareCompensation = query({
  name: "compensation.prepare",
  text: `
with lease as materialized (${lease}), made as (
  insert into holdfast.effects (effect_id, tenant, run_id, thread_id, task_id, ordinal, tool, tool_version, key,
                                args_digest, args, class, state, epoch, compensates)
  select $4, e.tenant, lease.run_id, $2, $5, 0, $6, e.tool_version, $7, e.args_digest, e.args, $8, 'prepared',
         lease.epoch, e.effect_id
    from lease, holdfast.effects e where e.effect_id = $9
  on conflict do nothing returning *
), found as (
  select * from made
  union all
  select e.* from holdfast.effects e, lease where e.compensates = $9 and not exists (select 1 from made)
)
select *, extract(epoch from holdfast.now() - first_dispatched_at)::float8 * 1000 as age_ms from found`,
  values: (
    p: Lease & {
      compensationId: string;
      taskId: string;
      tool: string;
      key: string;
      class: string;
      effectId: string;
    },
  ) => [p.runId, p.threadId, p.epoch, p.compensationId, p.taskId, p.tool, p.key, p.class, p.effectId],
  row: (raw) => asEffect(raw) as PendingEffect,
});

/** The last fence before the world. */
export const dispatchCompensation = query({
  name: "compensation.dispatch",
  text: `
with lease as materialized (${lease})
update holdfast.effects e
   set state = 'dispatched', dispatched_at = holdfast.now(), dispatches = e.dispatches + 1, epoch = lease.epoch,
       first_dispatched_at = coalesce(e.first_dispatched_at, holdfast.now()), run_id = lease.run_id
  from lease
 where e.key = $4 and e.compensates is not null and e.state in ('prepared', 'dispatched', 'unknown') returning e.*`,
  values: (p: Lease & { key: string }) => [p.runId, p.threadId, p.epoch, p.key],
  row: asEffect,
});

/** The call failed, and may have taken place all the same. */
export const failCompensation = query({
  name: "compensation.fail",
  text: `
with lease as materialized (${lease})
update holdfast.effects e set state = 'unknown', error = $5, settled_at = holdfast.now()
  from lease where e.key = $4 and e.state in ('dispatched', 'unknown') and e.epoch = lease.epoch returning e.*`,
  values: (p: Lease & { key: string; error: unknown }) => [
    p.runId,
    p.threadId,
    p.epoch,
    p.key,
    JSON.stringify(p.error),
  ],
  row: asEffect,
});

/** What looking up the effect that is to be undone showed. A null state: not found yet, it is looked up again. */
export const noteLook = query({
  name: "compensation.look",
  text: `
with lease as materialized (${lease})
update holdfast.effects e
   set looks = e.looks + 1, looked_at = holdfast.now(), state = coalesce($5, e.state), result = coalesce($6, e.result),
       settled_at = case when $5 is null then e.settled_at else holdfast.now() end
  from lease
 where e.effect_id = $4 and (e.state in ('dispatched', 'unknown', 'escalated') or e.state = $5) returning e.*`,
  values: (
    p: Lease & {
      effectId: string;
      state: "reconciled_done" | "reconciled_absent" | null;
      result: string | null;
    },
  ) => [p.runId, p.threadId, p.epoch, p.effectId, p.state, p.result],
  row: asEffect,
});

/** The compensation took place, and what it undoes is undone: one statement, so that no crash falls between them. */
export const settleCompensation = query({
  name: "compensation.settle",
  text: `
with lease as materialized (${lease}), done as (
  update holdfast.effects e set state = 'succeeded', result = $5, error = null, settled_at = holdfast.now()
    from lease where e.key = $4 and e.state in ('dispatched', 'succeeded') and e.epoch = lease.epoch returning e.*
), original as (
  update holdfast.effects o set state = 'compensated', compensated_at = coalesce(o.compensated_at, holdfast.now())
    from done where o.effect_id = done.compensates and o.state in ('succeeded', 'reconciled_done', 'compensated')
  returning o.effect_id
)
select done.* from done join original on original.effect_id = done.compensates`,
  values: (p: Lease & { key: string; result: string }) => [p.runId, p.threadId, p.epoch, p.key, p.result],
  row: asEffect,
});

/** What a human decided about an effect that could not be undone: it is, or it stays. The thread is locked. */
export const decideCompensation = query({
  name: "compensation.decide",
  text: `
update holdfast.effects
   set compensation_decision = $3::jsonb || jsonb_build_object('at', holdfast.now()),
       state = case when $2 = 'undone' then 'compensated' else state end,
       compensated_at = case when $2 = 'undone' then holdfast.now() end
 where effect_id = $1 and compensation_decision is null
   and state in ('succeeded', 'reconciled_done', 'dispatched', 'unknown', 'escalated') returning *`,
  values: (p: { effectId: string; outcome: "undone" | "left"; decision: unknown }) => [
    p.effectId,
    p.outcome,
    JSON.stringify(p.decision),
  ],
  row: asEffect,
});

/** A human knows that the call took place, and what came of it: it can be undone now. The thread is locked. */
export const confirmEffect = query({
  name: "compensation.confirm",
  text: `
update holdfast.effects set state = 'reconciled_done', result = $2, settled_at = holdfast.now()
 where effect_id = $1 and state in ('dispatched', 'unknown', 'escalated') returning *`,
  values: (p: { effectId: string; result: string }) => [p.effectId, p.result],
  row: asEffect,
});

/** A human wants the compensation sent again, whatever became of the last try. The thread is locked. */
export const allowCompensation = query({
  name: "compensation.allow",
  text: `
update holdfast.effects set state = 'prepared', first_dispatched_at = null
 where compensates = $1 and state in ('dispatched', 'unknown') returning *`,
  values: (p: { effectId: string }) => [p.effectId],
  row: asEffect,
});

/** A stuck compensation asks; it is no interrupt of the graph, and no resume can answer it. */
export const askAboutCompensation = query({
  name: "compensation.ask",
  text: `
insert into holdfast.escalations (escalation_id, tenant, thread_id, run_id, graph_id, node, task_id, ordinal,
  checkpoint_ns, checkpoint_id, payload, payload_digest, reasons, allowed_decisions, effect_id, compensation)
values ($1, $2, $3, $4, $5, 'compensation', $6, 0, '', '', $7, $8, $9, $10, $11, true)
on conflict do nothing returning escalation_id`,
  values: (p: {
    escalationId: string;
    tenant: string;
    threadId: string;
    runId: string;
    graphId: string;
    taskId: string;
    payload: string;
    payloadDigest: string;
    reasons: EscalationReason[];
    allowed: ResponseType[];
    effectId: string;
  }) => [
    p.escalationId,
    p.tenant,
    p.threadId,
    p.runId,
    p.graphId,
    p.taskId,
    p.payload,
    p.payloadDigest,
    JSON.stringify(p.reasons),
    JSON.stringify(p.allowed),
    p.effectId,
  ],
  row: (raw) => raw.escalation_id as string,
});

/** The last run of a thread that began, compensations aside. */
export const lastBegun = query({
  name: "compensation.last_begun",
  text: `
select * from holdfast.runs where thread_id = $1 and kind = 'graph' and started_at is not null order by seq desc limit 1`,
  values: (p: { threadId: string }) => [p.threadId],
  row: asRun,
});
