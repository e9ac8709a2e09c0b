// The ledger of effects: each move names the lease and the states it may start from. Zero rows means another holder
// has the thread. Read next: src/domain/effect.ts (the moves as data), effect-reads.ts (who looks at the ledger).
import { type EffectClass, statesBefore } from "../../domain/effect.ts";
import type { RunStatus } from "../../domain/run.ts";
import { query } from "../query.ts";
import { asMoved, type EffectRow, type MovedEffect } from "./effect-rows.ts";

export interface Lease {
  runId: string;
  threadId: string;
  epoch: number;
}
const lease = `select run_id, epoch from holdfast.runs
   where run_id = $1 and thread_id = $2 and epoch = $3 and status = 'running' for share`;
const heldBy = (p: Lease): unknown[] => [p.runId, p.threadId, p.epoch];

/** What is known about a call before it is sent. */
export interface Intent {
  tenant: string;
  taskId: string;
  ordinal: number;
  tool: string;
  toolVersion: string | null;
  toolCallId: string | null;
  class: EffectClass;
  key: string;
  businessKey: string | null;
  argsDigest: string;
  args: string;
  /** Where the task sits, and the checkpoints of the graphs around it. */
  checkpoint: { ns: string; id: string; above?: readonly { ns: string; id: string }[] };
  attempt: number;
}

/** A call of the same task, sent by an earlier holder, of which nobody knows whether it took place. */
export interface OlderIntent {
  key: string;
  tool: string;
  effect_id: string;
}

export interface Prepared {
  /** Whether the task's checkpoint is in the database. */
  checkpointed: boolean;
  older: OlderIntent[];
  /** The row of this key; null when none could be made. */
  row: MovedEffect | null;
  /** The status of the run that has the row; null when it is gone. */
  ownerStatus: RunStatus | null;
  /** Whether the row's thread, another one, is undoing what a run did. */
  undoing: boolean;
  /** The open question of another thread about this row. */
  askedElsewhere: string | null;
}

/** Finds the row of this key or prepares it, unless the task has an older unclear call; zero rows means the lease is gone. */
export const prepareEffect = query({
  name: "effect.prepare",
  text: `
with lease as materialized (${lease}), place as (
  select exists (select 1 from public.checkpoints c
                  where c.thread_id = $2::text and c.checkpoint_ns = $16 and c.checkpoint_id = $17)
     and not exists (select 1 from unnest($19::text[], $20::text[]) above (ns, id)
                      where not exists (select 1 from public.checkpoints c where c.thread_id = $2::text
                                          and c.checkpoint_ns = above.ns and c.checkpoint_id = above.id)) as checkpointed
), older as (
  select o.key, o.tool, o.effect_id from holdfast.effects o, lease
   where o.thread_id = $2 and o.task_id = $6 and o.epoch < lease.epoch and o.key <> $12 and $11 <> 'read' and o.class <> 'read'
     and o.state in ('dispatched', 'unknown', 'escalated')
), made as (
  insert into holdfast.effects (effect_id, tenant, run_id, thread_id, task_id, ordinal, tool, tool_version, tool_call_id, class, key,
    business_key, args_digest, args, checkpoint_ns, checkpoint_id, attempt, state, epoch)
  select $4, $5, lease.run_id, $2, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 'prepared', lease.epoch
    from lease, place where place.checkpointed and not exists (select 1 from older)
  on conflict (key) do nothing returning *
), found as (
  select * from made
  union all
  select e.* from holdfast.effects e where e.key = $12 and not exists (select 1 from made)
)
select place.checkpointed, (select coalesce(json_agg(older), '[]') from older) as older, holdfast.now() as now, found.*,
       (select r.status from holdfast.runs r where r.run_id = found.run_id) as owner_status,
       exists (select 1 from holdfast.runs c where c.thread_id = found.thread_id and c.thread_id <> $2
                and c.kind = 'compensation' and c.status in ('blocked', 'queued', 'running')) as undoing,
       (select q.escalation_id from holdfast.escalations q
         where q.effect_id = found.effect_id and q.status = 'open' and q.thread_id <> $2 limit 1) as asked_elsewhere
  from lease cross join place left join found on true`,
  values: (p: Lease & Intent & { effectId: string }) => [
    ...heldBy(p),
    p.effectId,
    p.tenant,
    p.taskId,
    p.ordinal,
    p.tool,
    p.toolVersion,
    p.toolCallId,
    p.class,
    p.key,
    p.businessKey,
    p.argsDigest,
    p.args,
    p.checkpoint.ns,
    p.checkpoint.id,
    p.attempt,
    (p.checkpoint.above ?? []).map(({ ns }) => ns),
    (p.checkpoint.above ?? []).map(({ id }) => id),
  ],
  row: ({ checkpointed, older, owner_status, undoing, asked_elsewhere, ...raw }): Prepared => ({
    checkpointed: checkpointed as boolean,
    older: older as OlderIntent[],
    row: raw.effect_id === null ? null : asMoved(raw),
    ownerStatus: owner_status as RunStatus | null,
    undoing: undoing as boolean,
    askedElsewhere: asked_elsewhere as string | null,
  }),
});

/**
 * A row with a business key passes from a run that has ended, or from another call of this run. `row` is null when
 * another run was faster.
 */
export const takeOverEffect = query({
  name: "effect.take_over",
  text: `
with lease as materialized (${lease}), taken as (
  update holdfast.effects e
     set run_id = lease.run_id, thread_id = $2, epoch = lease.epoch, task_id = $5, ordinal = $6, tool_call_id = $7,
         checkpoint_ns = $8, checkpoint_id = $9, run_dispatches = case when e.run_id = lease.run_id then run_dispatches else 0 end
    from lease
   where e.key = $4 and e.run_id is not distinct from $10 and e.epoch = $11 and e.state = $12
  returning e.*
)
select holdfast.now() as now, taken.* from lease left join taken on true`,
  values: (
    p: Lease &
      Pick<Intent, "key" | "taskId" | "ordinal" | "toolCallId" | "checkpoint"> & {
        from: Pick<EffectRow, "run_id" | "epoch" | "state">;
      },
  ) => [
    ...heldBy(p),
    p.key,
    p.taskId,
    p.ordinal,
    p.toolCallId,
    p.checkpoint.ns,
    p.checkpoint.id,
    p.from.run_id,
    p.from.epoch,
    p.from.state,
  ],
  row: (raw): { row: MovedEffect | null } => ({ row: raw.effect_id === null ? null : asMoved(raw) }),
});

/** Other arguments for a call that has not taken place; where the call only reads now, whatever became of it. */
export const replaceArgs = query({
  name: "effect.replace_args",
  text: `
with lease as materialized (${lease})
update holdfast.effects e
   set state = 'prepared', args_digest = $5, args = $6, result = null, error = null, settled_at = null, looks = 0,
       run_id = lease.run_id, epoch = lease.epoch
  from lease where e.key = $4 and (e.state = any($7) or $8 = 'read') returning e.*, holdfast.now() as now`,
  values: (p: Lease & Pick<Intent, "key" | "argsDigest" | "args" | "class">) => [
    ...heldBy(p),
    p.key,
    p.argsDigest,
    p.args,
    statesBefore("prepared"),
    p.class,
  ],
  row: asMoved,
});

/** The last fence before the world. Repeated after a lost answer, it counts one dispatch. */
export const dispatchEffect = query({
  name: "effect.dispatch",
  text: `
with lease as materialized (${lease})
update holdfast.effects e
   set state = 'dispatched', dispatches = $5 + 1, class = $7, tool_version = $8, attempt = $9, looks = 0, error = null,
       settled_at = null, first_dispatched_at = coalesce(first_dispatched_at, holdfast.now()), dispatched_at = holdfast.now(),
       run_dispatches = case when e.dispatches > $5 then run_dispatches when e.run_id = lease.run_id then run_dispatches + 1 else 1 end,
       run_id = lease.run_id, epoch = lease.epoch
  from lease
 where e.key = $4 and e.epoch <= lease.epoch
   and ((e.dispatches = $5 and e.state = any($6)) or (e.dispatches = $5 + 1 and e.state = 'dispatched' and e.epoch = lease.epoch))
returning e.*, holdfast.now() as now`,
  values: (p: Lease & Pick<Intent, "key" | "class" | "toolVersion" | "attempt"> & { dispatches: number }) => [
    ...heldBy(p),
    p.key,
    p.dispatches,
    statesBefore("dispatched"),
    p.class,
    p.toolVersion,
    p.attempt,
  ],
  row: asMoved,
});

/** How a call that this holder sent came out. */
export const settleEffect = query({
  name: "effect.settle",
  text: `
with lease as materialized (${lease})
update holdfast.effects e set state = $5, result = $6, error = $7, settled_at = holdfast.now()
  from lease where e.key = $4 and e.epoch = lease.epoch and e.state in ('dispatched', $5)
returning e.*, holdfast.now() as now`,
  values: (
    p: Lease & {
      key: string;
      state: "succeeded" | "failed" | "unknown";
      result: string | null;
      error: unknown;
    },
  ) => [...heldBy(p), p.key, p.state, p.result, p.error === null ? null : JSON.stringify(p.error)],
  row: asMoved,
});

/**
 * What was found out about a call whose outcome nobody knew, or that a human is asked. Still unclear, it keeps its
 * epoch: it stays older than the new calls of its task, which wait for it.
 */
export const resolveEffect = query({
  name: "effect.resolve",
  text: `
with lease as materialized (${lease})
update holdfast.effects e
   set state = $5, result = $6, error = coalesce($7, error), asked = asked or $5 = 'escalated',
       settled_at = case when $5 in ('reconciled_done', 'reconciled_absent') then holdfast.now() end,
       run_id = lease.run_id,
       epoch = case when $5 in ('reconciled_done', 'reconciled_absent') then lease.epoch else e.epoch end
  from lease where e.key = $4 and (e.state = any($8) or e.state = $5) returning e.*, holdfast.now() as now`,
  values: (
    p: Lease & {
      key: string;
      state: "unknown" | "reconciled_done" | "reconciled_absent" | "escalated";
      result: string | null;
      error: unknown;
    },
  ) => [
    ...heldBy(p),
    p.key,
    p.state,
    p.result,
    p.error === null ? null : JSON.stringify(p.error),
    statesBefore(p.state),
  ],
  row: asMoved,
});

/** A look-up that found nothing. Repeated after a lost answer, it counts once. */
export const lookedAtEffect = query({
  name: "effect.looked",
  text: `
with lease as materialized (${lease})
update holdfast.effects e set looks = $5 + 1, looked_at = holdfast.now()
  from lease where e.key = $4 and e.state in ('dispatched', 'unknown') and e.looks in ($5, $5 + 1)
returning e.*, holdfast.now() as now`,
  values: (p: Lease & { key: string; looks: number }) => [...heldBy(p), p.key, p.looks],
  row: asMoved,
});

/** A call that was not sent takes the result of an earlier pass of the thread, and names it. */
export const reuseEffect = query({
  name: "effect.reuse",
  text: `
with lease as materialized (${lease})
update holdfast.effects e
   set state = 'succeeded', result = s.result, error = s.error, reuses = s.effect_id, settled_at = holdfast.now(),
       run_id = lease.run_id, epoch = lease.epoch
  from lease, holdfast.effects s
 where s.effect_id = $5 and e.key = $4 and (e.state = 'prepared' or e.reuses = $5) and e.dispatches = 0
returning e.*, holdfast.now() as now`,
  values: (p: Lease & { key: string; source: string }) => [...heldBy(p), p.key, p.source],
  row: asMoved,
});
