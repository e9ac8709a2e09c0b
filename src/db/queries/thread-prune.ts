// Threads and checkpoints that go because somebody asked for it, at once or when a thread has been idle for long; and
// threads of stateless runs, which nobody asked for.
import type { ThreadTtl } from "../../domain/lifetimes.ts";
import { query } from "../query.ts";
import { unhandled } from "./dead-letters.ts";

/** An effect nobody knows the end of, and the question of a stuck compensation, keep their thread. */
const unclear = `(
  exists (select 1 from holdfast.effects f
           where f.thread_id = t.thread_id and f.state in ('dispatched', 'unknown', 'escalated'))
  or exists (select 1 from holdfast.escalations e
              where e.thread_id = t.thread_id and e.status = 'open' and e.compensation))`;
/** Looked for thread by thread, which `offset` brings about: planned as a join, all runs there are would be read. */
const hasRun = (such: string): string =>
  `exists (select 1 from holdfast.runs r where r.thread_id = t.thread_id and ${such} offset 0)`;
const open = hasRun("r.status in ('queued', 'blocked', 'running')");
const dead = hasRun(unhandled("r"));
/** When it has been idle for so long, in UTC, as the indexes say it. */
const due = (minutes: string): string =>
  `((t.updated_at at time zone 'UTC') + t.${minutes} * interval '1 minute')`;
const idleFor = (minutes: string): string => `
   t.${minutes} is not null and ${due(minutes)} < (select holdfast.now()) at time zone 'UTC'
   and not ${open} and not ${unclear} and not ${dead}`;
const deletable = idleFor("ttl_minutes");
/** Once for each time it has been idle. */
const prunable = `(t.pruned_at is null or t.pruned_at < t.updated_at) and ${idleFor("keep_latest_minutes")}`;
const page = (strategy: ThreadTtl["strategy"], minutes: string, condition: string): string => `
(select t.thread_id, t.tenant, ${due(minutes)} as due, '${strategy}' as strategy from holdfast.threads t
  where ${condition} order by due limit $1)`;

/** Threads past their time to live, those that are longest past it first. */
export const expiredThreads = query({
  name: "prune.expired",
  text: `${page("delete", "ttl_minutes", deletable)}
union all ${page("keep_latest", "keep_latest_minutes", prunable)} order by due limit $1`,
  values: (p: { limit: number }) => [p.limit],
  row: (raw) => ({
    threadId: raw.thread_id as string,
    tenant: raw.tenant as string,
    strategy: raw.strategy as ThreadTtl["strategy"],
  }),
});

/** Whether one is still to be deleted, under its lock. */
export const stillExpired = query({
  name: "prune.still_expired",
  text: `select t.thread_id from holdfast.threads t where t.thread_id = $1 and ${deletable}`,
  values: (p: { threadId: string }) => [p.threadId],
  row: () => true,
});

/** Says that all but the latest state of one goes now, when it is still due, under its lock. */
export const markPruned = query({
  name: "prune.mark",
  text: `update holdfast.threads t set pruned_at = holdfast.now()
          where t.thread_id = $1 and ${prunable} returning t.thread_id`,
  values: (p: { threadId: string }) => [p.threadId],
  row: () => true,
});

/** Whether a redrive may still need older checkpoints of this thread. */
export const hasDeadLetter = query({
  name: "prune.dead_letter",
  text: `select t.thread_id from holdfast.threads t where t.thread_id = $1 and ${dead}`,
  values: (p: { threadId: string }) => [p.threadId],
  row: () => true,
});

/** No question, unhandled dead letter or unclear effect is left, and nobody can still be reading a stream. */
const temporaryDeletable = (thread: string, seconds: string): string => `
   not exists (select 1 from holdfast.runs o where o.thread_id = ${thread}
                and (o.finished_at is null or o.finished_at >= holdfast.now() - ${seconds} * interval '1 second'
                     or ${unhandled("o")}))
   and not exists (select 1 from holdfast.escalations e where e.thread_id = ${thread} and e.status = 'open')
   and not exists (select 1 from holdfast.effects f where f.thread_id = ${thread} and f.state in ('dispatched', 'unknown', 'escalated'))`;

/** Threads of stateless runs that ended some time ago, oldest first. */
export const expiredTemporary = query({
  name: "thread.expired_temporary",
  text: `
select r.thread_id, r.tenant from holdfast.runs r
 where r.temporary and r.finished_at < holdfast.now() - $1 * interval '1 second' and ${temporaryDeletable("r.thread_id", "$1")}
 order by r.finished_at limit $2`,
  values: (p: { olderThanSeconds: number; limit: number }) => [p.olderThanSeconds, p.limit],
  row: (raw) => ({ threadId: raw.thread_id as string, tenant: raw.tenant as string }),
});

/** Whether one is still to be deleted, under its lock. */
export const stillExpiredTemporary = query({
  name: "thread.still_expired_temporary",
  text: `select t.thread_id from holdfast.threads t where t.thread_id = $1 and ${temporaryDeletable("t.thread_id", "$2")}`,
  values: (p: { threadId: string; olderThanSeconds: number }) => [p.threadId, p.olderThanSeconds],
  row: () => true,
});

/** How far up the parents of the latest checkpoint are kept: state updates that follow one another. */
const updatesMax = 1_000;

/**
 * Removes all but the latest state. Kept are the root's latest checkpoint and, where that was made by hand from an older
 * one, all since that, for they say which effects lie behind it; those of subgraphs that belong to them; and the latest
 * of a subgraph whose state outlives its step. Effects of steps before those are then told by the parent of the first
 * one kept, so that no fork takes them for its own. The thread is locked and has no open run.
 */
export const keepLatest = query({
  name: "prune.keep_latest",
  text: `
with recursive up (seq, parent_id, goes_on, depth) as (
  (select c.seq, c.parent_checkpoint_id,
          (c.run_id is null and c.epoch is not null) or (c.checkpoint->>'v')::int < 4, 1
     from public.checkpoints c where c.thread_id = $1::text and c.checkpoint_ns = '' order by c.seq desc limit 1)
  union all
  select c.seq, c.parent_checkpoint_id,
         (c.run_id is null and c.epoch is not null) or (c.checkpoint->>'v')::int < 4, u.depth + 1
    from up u join public.checkpoints c
      on c.thread_id = $1 and c.checkpoint_ns = '' and c.checkpoint_id = u.parent_id
   where u.goes_on and u.depth < ${updatesMax}
), root as materialized (
  select c.checkpoint_ns, c.checkpoint_id from public.checkpoints c
   where c.thread_id = $1 and c.checkpoint_ns = '' and c.seq >= (select min(u.seq) from up u)
), past (id, first_id) as (
  (select c.parent_checkpoint_id, c.parent_checkpoint_id from public.checkpoints c join root r using (checkpoint_ns, checkpoint_id)
    where c.thread_id = $1 order by c.seq limit 1)
  union
  select c.parent_checkpoint_id, p.first_id from past p join public.checkpoints c
      on c.thread_id = $1 and c.checkpoint_ns = '' and c.checkpoint_id = p.id
), effects as (
  update holdfast.effects e set checkpoint_ns = '', checkpoint_id = p.first_id
    from past p
   where e.thread_id = ($1::text)::uuid
     and p.id = case when e.checkpoint_ns = '' then e.checkpoint_id
                else (select i.metadata->'parents'->>'' from public.checkpoints i
                       where i.thread_id = $1 and i.checkpoint_ns = e.checkpoint_ns
                         and i.checkpoint_id = e.checkpoint_id) end
), kept as materialized (
  select r.checkpoint_ns, r.checkpoint_id from root r
  union
  select c.checkpoint_ns, c.checkpoint_id from public.checkpoints c
   where c.thread_id = $1 and c.checkpoint_ns <> ''
     and (c.metadata->'parents'->>'' in (select r.checkpoint_id from root r)
          or position(':' in c.checkpoint_ns) = 0
             and c.seq = (select max(l.seq) from public.checkpoints l
                           where l.thread_id = $1 and l.checkpoint_ns = c.checkpoint_ns))
), used as materialized (
  select c.checkpoint_ns, v.key as channel, v.value as version
    from kept k join public.checkpoints c using (checkpoint_ns, checkpoint_id),
         jsonb_each_text(c.checkpoint->'channel_versions') v
   where c.thread_id = $1
), writes as (
  delete from public.checkpoint_writes w
   where w.thread_id = $1 and not exists (select 1 from kept k
          where k.checkpoint_ns = w.checkpoint_ns and k.checkpoint_id = w.checkpoint_id)
), blobs as (
  delete from public.checkpoint_blobs b
   where b.thread_id = $1 and not exists (select 1 from used u
          where u.checkpoint_ns = b.checkpoint_ns and u.channel = b.channel
            and b.version = any (array[u.version, holdfast.stock_version(u.version)]))
)
delete from public.checkpoints c
 where c.thread_id = $1 and not exists (select 1 from kept k
        where k.checkpoint_ns = c.checkpoint_ns and k.checkpoint_id = c.checkpoint_id)
returning c.checkpoint_id`,
  values: (p: { threadId: string }) => [p.threadId],
  row: (raw) => raw.checkpoint_id as string,
});
