// Where runs started, and what a thread did to the world behind the point that one starts from.
import type { EffectState } from "../../domain/effect.ts";
import { query } from "../query.ts";

/** A call that took place, or may have, as shown to whoever is about to start behind it. */
export interface EffectBehind {
  effect_id: string;
  tool: string;
  state: EffectState;
  args_digest: string;
  run_id: string | null;
  dispatched_at: Date | null;
}

const checkpointsMax = 100_000;

/**
 * Effects of a thread that do not lie on the way to a checkpoint: to start there is to leave them behind, and to do them
 * again. An effect of a subgraph lies where the root was then. With `checkpointId` null it is about the latest
 * checkpoint, and only when an API write made that: it may have forked from an older one.
 * One index probe when the thread has no such effect.
 */
export const effectsBehind = query({
  name: "fork.effects_behind",
  text: `
with recursive candidate as materialized (
  select e.effect_id, e.tool, e.state, e.args_digest, e.run_id, e.dispatched_at, e.prepared_at, e.checkpoint_id,
         e.checkpoint_ns
    from holdfast.effects e
   where e.thread_id = $1 and e.class <> 'read' and e.compensates is null
     and e.state in ('dispatched', 'succeeded', 'unknown', 'reconciled_done', 'escalated')
), latest as materialized (
  select c.checkpoint_id, c.parent_checkpoint_id, c.run_id from public.checkpoints c
   where c.thread_id = $1::text and c.checkpoint_ns = '' and exists (select 1 from candidate)
   order by c.seq desc limit 1
), base as (
  select c.checkpoint_id, c.parent_checkpoint_id, true as older from public.checkpoints c
   where c.thread_id = $1::text and c.checkpoint_ns = '' and c.checkpoint_id = $2 and exists (select 1 from candidate)
     and ($4::boolean or not exists (select 1 from latest l where l.checkpoint_id = $2))
  union all
  -- The calls of tasks on the latest checkpoint itself lie on its way: to go on from there is no fork.
  select l.checkpoint_id, l.parent_checkpoint_id, false from latest l
   where l.run_id is null and ($2::text is null or (l.checkpoint_id = $2 and not $4::boolean))
), way (id, depth) as (
  select case when b.older then b.parent_checkpoint_id else b.checkpoint_id end, 1 from base b
  union
  select c.parent_checkpoint_id, w.depth + 1 from way w
    join public.checkpoints c
      on c.thread_id = $1::text and c.checkpoint_ns = '' and c.checkpoint_id = w.id
   where w.depth < ${checkpointsMax}
)
select k.effect_id, k.tool, k.state, k.args_digest, k.run_id, k.dispatched_at
  from candidate k cross join base b
 where not exists (
   select 1 from way w where w.id = case when k.checkpoint_ns = '' then k.checkpoint_id
     else (select c.metadata->'parents'->>'' from public.checkpoints c
            where c.thread_id = $1::text and c.checkpoint_ns = k.checkpoint_ns and c.checkpoint_id = k.checkpoint_id) end)
   and (b.older or k.checkpoint_id is not null)
 order by k.prepared_at limit $3`,
  values: (p: {
    threadId: string;
    checkpointId: string | null;
    limit: number;
    /** Calls of the tasks on the named checkpoint itself lie behind it as well, even when it is the latest. */
    strict: boolean;
  }) => [p.threadId, p.checkpointId, p.limit, p.strict],
  row: (raw) => raw as unknown as EffectBehind,
});

/** The first checkpoint of a run, and where it came from: its input's own when it began a thread. */
export const startOfRun = query({
  name: "fork.start_of_run",
  text: `select checkpoint_id, parent_checkpoint_id, metadata->>'source' as source from public.checkpoints
          where run_id = $1 and checkpoint_ns = '' order by seq limit 1`,
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => ({
    checkpointId: raw.checkpoint_id as string,
    parentId: raw.parent_checkpoint_id as string | null,
    source: raw.source as string | null,
  }),
});

/** The last checkpoint that a run committed. */
export const lastCheckpointOf = query({
  name: "fork.last_checkpoint",
  text: `select checkpoint_id, metadata->>'step' as step from public.checkpoints
          where run_id = $1 and checkpoint_ns = '' order by seq desc limit 1`,
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => ({ checkpointId: raw.checkpoint_id as string, step: raw.step as string | null }),
});

/** What runs did to the world, in order. */
export const effectsOfRuns = query({
  name: "fork.effects_of_runs",
  text: `select effect_id, run_id, tool, class, state, args_digest, key, error, prepared_at, dispatched_at, settled_at
           from holdfast.effects where run_id = any($1::uuid[]) order by prepared_at, ordinal limit $2`,
  values: (p: { runIds: string[]; limit: number }) => [p.runIds, p.limit],
  row: (raw) => raw as Record<string, unknown>,
});
