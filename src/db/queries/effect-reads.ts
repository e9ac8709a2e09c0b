// Who looks at the ledger of effects: people, forks, compensations, the scrape, the prune chore.
import type { EffectState } from "../../domain/effect.ts";
import { query } from "../query.ts";
import type { EffectRow } from "./effect-rows.ts";

const asEffect = (raw: Record<string, unknown>): EffectRow => raw as unknown as EffectRow;

export interface ShownEffect extends EffectRow {
  /** The latest question about it. */
  escalation_id: string | null;
  /** The effect that undid it, or tried to. */
  compensated_by: string | null;
  /** What a human decided when it could not be undone. */
  compensation_decision: unknown;
}

export const effectsOfThread = query({
  name: "effect.of_thread",
  text: `
select e.*, (select q.escalation_id from holdfast.escalations q where q.effect_id = e.effect_id and q.thread_id = $1
              order by q.created_at desc, q.ordinal desc limit 1) as escalation_id,
       (select c.effect_id from holdfast.effects c where c.compensates = e.effect_id) as compensated_by
  from holdfast.effects e where e.thread_id = $1 and e.tenant = $2 order by e.prepared_at, e.seq`,
  values: (p: { threadId: string; tenant: string }) => [p.threadId, p.tenant],
  row: (raw) => raw as unknown as ShownEffect,
});

export interface AnsweredQuestion {
  task_id: string;
  ordinal: number;
  payload: string;
  decision: string;
}

/** What humans have answered about an effect, in the order they were asked. */
export const answersAboutEffect = query({
  name: "effect.answers",
  text: `
select q.task_id, q.ordinal, q.payload, q.decision from holdfast.escalations q
 where q.effect_id = $1 and q.decision is not null order by q.decided_at, q.ordinal`,
  values: (p: { effectId: string }) => [p.effectId],
  row: (raw) => raw as unknown as AnsweredQuestion,
});

export interface Fork {
  run_id: string;
  effects_policy: "reuse" | "repeat" | "deny";
  checkpoint: { checkpoint_id: string; checkpoint_ns?: string } | null;
  /** The runs from it to the one that was asked about, by their answers. */
  runs: string[];
}

/**
 * Of the runs that this one goes on from by answers, the nearest with a policy about effects: a step that it parked is
 * repeated by its answer's run, under the same policy.
 */
export const forkOfRun = query({
  name: "effect.fork_of_run",
  text: `
with recursive chain as (
  select run_id, thread_id, effects_policy, kwargs -> 'checkpoint' as checkpoint, array[run_id] as runs
    from holdfast.runs where run_id = $1
  union all
  select a.run_id, a.thread_id, a.effects_policy, a.kwargs -> 'checkpoint', c.runs || a.run_id
    from chain c join holdfast.escalations q on q.thread_id = c.thread_id and q.resume_run_id = c.run_id
    join holdfast.runs a on a.run_id = q.run_id
   where cardinality(c.runs) < 100 and a.run_id <> all (c.runs) and c.effects_policy is null
)
select run_id, effects_policy, checkpoint, runs from chain
 where effects_policy is not null order by cardinality(runs) limit 1`,
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => raw as unknown as Fork,
});

const behind = `
with recursive kept as (
  select c.parent_checkpoint_id as id from public.checkpoints c
   where c.thread_id = ($1::uuid)::text and c.checkpoint_ns = $2 and c.checkpoint_id = $3
  union
  select c.parent_checkpoint_id from kept join public.checkpoints c
    on c.thread_id = ($1::uuid)::text and c.checkpoint_ns = $2 and c.checkpoint_id = kept.id
)
select e.* from holdfast.effects e
  left join public.checkpoints own on own.thread_id = ($1::uuid)::text and own.checkpoint_ns = e.checkpoint_ns
                                  and own.checkpoint_id = e.checkpoint_id
 where e.thread_id = $1::uuid and e.class <> 'read' and e.compensates is null and e.reuses is null
   and not exists (select 1 from kept where kept.id =
         case when e.checkpoint_ns = $2 then e.checkpoint_id else own.metadata -> 'parents' ->> $2 end)`;
interface Behind {
  threadId: string;
  checkpointNs: string;
  checkpointId: string;
}

/** The same call behind a fork, that the fork's own runs neither made nor took the result of yet. */
export const reusableEffect = query({
  name: "effect.reusable",
  text: `${behind} and e.state in ('succeeded', 'reconciled_done') and e.tool = $4 and e.args_digest = $5
   and e.run_id <> all ($6::uuid[])
   and not exists (select 1 from holdfast.effects r where r.reuses = e.effect_id and r.run_id = any ($6::uuid[]))
 order by e.prepared_at, e.ordinal limit 1`,
  values: (p: Behind & { tool: string; argsDigest: string; runs: string[] }) => [
    p.threadId,
    p.checkpointNs,
    p.checkpointId,
    p.tool,
    p.argsDigest,
    p.runs,
  ],
  row: asEffect,
});

/** Calls that a run was to ask a human about. */
export const escalatedByRun = query({
  name: "effect.escalated_by_run",
  prepared: true,
  text: "select effect_id, tool, task_id, checkpoint_ns from holdfast.effects where run_id = $1 and state = 'escalated' and compensates is null",
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => raw as unknown as Pick<EffectRow, "effect_id" | "tool" | "task_id" | "checkpoint_ns">,
});

/** Calls of which nobody knows whether they took place; those under way are not among them. */
export const countUnclear = query({
  name: "effect.count_unclear",
  text: `
select count(*) as n from holdfast.effects e
 where e.state in ('dispatched', 'unknown', 'escalated')
   and (e.state <> 'dispatched' or not exists (
         select 1 from holdfast.runs r where r.run_id = e.run_id and r.status = 'running' and r.epoch = e.epoch))`,
  values: () => [],
  row: (raw) => raw.n as number,
});

/** The newest call about this business key. Always one row: none would mean that the lease is gone. */
export const latestOfBusiness = query({
  name: "effect.latest_of_business",
  text: `select l.key, l.state from (select 1) always left join lateral (
           select key, state from holdfast.effects where tenant = $1 and tool = $2 and business_key = $3
            order by seq desc limit 1) l on true`,
  values: (p: { tenant: string; tool: string; businessKey: string }) => [p.tenant, p.tool, p.businessKey],
  row: (raw) => ({ key: raw.key as string | null, state: raw.state as EffectState | null }),
});

/** Effects that outlived their thread for their business key, when that is long ago too. */
export const pruneEffects = query({
  name: "effect.prune",
  text: `
delete from holdfast.effects where effect_id in (
  select effect_id from holdfast.effects
   where thread_id is null and prepared_at < holdfast.now() - $1 * interval '1 second'
     and coalesce(settled_at, dispatched_at, prepared_at) < holdfast.now() - $1 * interval '1 second' limit $2)
returning effect_id`,
  values: (p: { olderThanSeconds: number; limit: number }) => [p.olderThanSeconds, p.limit],
  row: (raw) => raw.effect_id as string,
});
