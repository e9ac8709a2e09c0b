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

/** State updates in a row that are looked through. */
const updatesMax = 1_000;

// An API write has an epoch and no run; what the stock saver wrote has neither.
const byApi = "(c.run_id is null and c.epoch is not null)";

/**
 * Effects of a thread that lie behind a checkpoint: their tasks ran on it or on a later one, so that to start there may
 * do them again. An effect of a subgraph lies where its root was then. A checkpoint that a state update made has the
 * tasks of the one it was made from still before it. With `checkpointId` null this is about the latest checkpoint, and
 * then only when a state update made that: to go on from what a run left is no fork. One index probe when the thread
 * has no such effect.
 */
export const effectsBehind = query({
  name: "fork.effects_behind",
  prepared: true,
  text: `
with recursive candidate as materialized (
  select e.effect_id, e.tool, e.state, e.args_digest, e.run_id, e.dispatched_at, e.prepared_at,
         (select c.seq from public.checkpoints c
           where c.thread_id = $1::uuid::text and c.checkpoint_ns = '' and c.checkpoint_id =
                 case when e.checkpoint_ns = '' then e.checkpoint_id
                 else (select i.metadata->'parents'->>'' from public.checkpoints i
                        where i.thread_id = $1::uuid::text and i.checkpoint_ns = e.checkpoint_ns
                          and i.checkpoint_id = e.checkpoint_id) end) as seq
    from holdfast.effects e
   where e.thread_id = $1::uuid and e.class <> 'read' and e.compensates is null
     and e.state in ('dispatched', 'succeeded', 'unknown', 'reconciled_done', 'escalated')
), latest as materialized (
  select c.checkpoint_id, ${byApi} as by_api from public.checkpoints c
   where c.thread_id = $1::uuid::text and c.checkpoint_ns = '' and exists (select 1 from candidate)
   order by c.seq desc limit 1
), base as (
  select coalesce($2::text, l.checkpoint_id) as checkpoint_id, $2::text is not null as named from latest l
   where $4::boolean or l.by_api or $2::text <> l.checkpoint_id
), up (seq, parent_id, by_api, depth) as (
  select c.seq, c.parent_checkpoint_id, ${byApi}, 1 from public.checkpoints c join base b using (checkpoint_id)
   where c.thread_id = $1::uuid::text and c.checkpoint_ns = ''
  union all
  select c.seq, c.parent_checkpoint_id, ${byApi}, u.depth + 1
    from up u join public.checkpoints c
      on c.thread_id = $1::uuid::text and c.checkpoint_ns = '' and c.checkpoint_id = u.parent_id
   where u.by_api and u.depth < ${updatesMax}
)
select k.effect_id, k.tool, k.state, k.args_digest, k.run_id, k.dispatched_at
  from candidate k, base b
 -- Nobody knows where an effect without a checkpoint lies: whoever names an older one hears of it.
 where k.seq >= (select min(u.seq) from up u) or (k.seq is null and b.named and not $5::boolean)
 order by k.prepared_at limit $3`,
  values: (p: {
    threadId: string;
    checkpointId: string | null;
    limit: number;
    /** The named checkpoint is started from anew even when it is the latest. */
    strict: boolean;
    /** Leaves out effects whose checkpoint is unknown. */
    placedOnly?: boolean;
  }) => [p.threadId, p.checkpointId, p.limit, p.strict, p.placedOnly ?? false],
  row: (raw) => raw as unknown as EffectBehind,
});

/** The first checkpoint of a run, and where it came from: its input's own when it began a thread. */
export const startOfRun = query({
  name: "fork.start_of_run",
  text: `select checkpoint_id, parent_checkpoint_id, metadata->>'source' as source from public.checkpoints
          where thread_id = $2 and run_id = $1 and checkpoint_ns = '' order by seq limit 1`,
  values: (p: { runId: string; threadId: string }) => [p.runId, p.threadId],
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
          where thread_id = $2 and run_id = $1 and checkpoint_ns = '' order by seq desc limit 1`,
  values: (p: { runId: string; threadId: string }) => [p.runId, p.threadId],
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
