// Dead letters: runs that ended in error or timeout. A view of the runs, not a copy.
import type { AccessFilter } from "../../domain/access.ts";
import { query } from "../query.ts";
import { accessValue, ofVisibleThread } from "./access.ts";
import { hasRootCheckpoint } from "./checkpoint-fragments.ts";
import { asRun } from "./rows.ts";

/** Which dead letters are meant. Null does not narrow. */
export interface DeadLetterFilter {
  tenant: string;
  /** Those that somebody has discarded or redriven as well. */
  all: boolean;
  graphId: string | null;
  code: string | null;
  fingerprint: string | null;
  since: Date | null;
  until: Date | null;
  runIds: string[] | null;
  access: AccessFilter | null;
}

/** Whether run `r` is a dead letter that nobody has discarded or redriven. A redrive that was cancelled has handled nothing. */
export const unhandled = (r: string): string => `(
  ${r}.status in ('error', 'timeout') and ${r}.discarded_at is null
  and not exists (select 1 from holdfast.runs n where n.redrive_of = ${r}.run_id and n.status <> 'interrupted'))`;
const where = `
 where r.tenant = $1 and r.status in ('error', 'timeout')
   and ($2::boolean or ${unhandled("r")})
   and ($3::text is null or r.graph_id = $3)
   and ($4::text is null or r.error->>'code' = $4)
   and ($5::text is null or r.fingerprint = $5)
   and ($6::timestamptz is null or r.finished_at >= $6)
   and ($7::timestamptz is null or r.finished_at < $7)
   and ($8::uuid[] is null or r.run_id = any($8)) and ${ofVisibleThread("r", "$9")}`;
const filterValues = (p: DeadLetterFilter): unknown[] => [
  p.tenant,
  p.all,
  p.graphId,
  p.code,
  p.fingerprint,
  p.since,
  p.until,
  p.runIds,
  accessValue(p),
];

/** Newest first. */
export const listDeadLetters = query({
  name: "dead_letter.list",
  text: `select r.* from holdfast.runs r ${where} order by r.finished_at desc, r.seq desc limit $10 offset $11`,
  values: (p: DeadLetterFilter & { limit: number; offset: number }) => [
    ...filterValues(p),
    p.limit,
    p.offset,
  ],
  row: asRun,
});

/** Oldest first: in the order in which they died they are redriven. */
export const oldestDeadLetters = query({
  name: "dead_letter.oldest",
  text: `select r.run_id from holdfast.runs r ${where} order by r.finished_at, r.seq limit $10`,
  values: (p: DeadLetterFilter & { limit: number }) => [...filterValues(p), p.limit],
  row: (raw) => raw.run_id as string,
});

/** By cause, the largest first. The sample is the newest. */
export const deadLetterGroups = query({
  name: "dead_letter.groups",
  text: `
select r.fingerprint, count(*) as n, min(r.finished_at) as first_at, max(r.finished_at) as last_at,
       (array_agg(r.error order by r.finished_at desc))[1] as error,
       (array_agg(r.run_id order by r.finished_at desc))[1] as sample_run_id,
       array_agg(distinct r.graph_id) as graphs
  from holdfast.runs r ${where}
 group by r.fingerprint, r.error->>'code' order by n desc, last_at desc limit $10 offset $11`,
  values: (p: DeadLetterFilter & { limit: number; offset: number }) => [
    ...filterValues(p),
    p.limit,
    p.offset,
  ],
  row: (raw) => ({
    fingerprint: raw.fingerprint as string | null,
    count: raw.n as number,
    first_at: raw.first_at as Date,
    last_at: raw.last_at as Date,
    error: raw.error as { code: string; name: string; message: string } | null,
    sample_run_id: raw.sample_run_id as string,
    graphs: raw.graphs as string[],
  }),
});

/** How many nobody has handled. */
export const deadLetterDepth = query({
  name: "dead_letter.depth",
  text: `select count(*) as n from holdfast.runs r where ${unhandled("r")}`,
  values: () => [],
  row: (raw) => raw.n as number,
});

export const discardDeadLetters = query({
  name: "dead_letter.discard",
  text: `
update holdfast.runs set discarded_at = holdfast.now(), discard_reason = $3
 where run_id = any($1::uuid[]) and tenant = $2 and status in ('error', 'timeout') and discarded_at is null returning *`,
  values: (p: { runIds: string[]; tenant: string; reason: string }) => [p.runIds, p.tenant, p.reason],
  row: asRun,
});

/** A dead letter is redriven once at a time: an earlier redrive that is alive or done stands in the way. */
export const redrivesOf = query({
  name: "dead_letter.redrives",
  text: `select * from holdfast.runs where redrive_of = $1 and status not in ('error', 'timeout', 'interrupted')`,
  values: (p: { runId: string }) => [p.runId],
  row: asRun,
});

/** Every run that was started for it, whatever became of it, newest first. */
export const allRedrivesOf = query({
  name: "dead_letter.all_redrives",
  text: "select * from holdfast.runs where redrive_of = $1 order by seq desc limit $2",
  values: (p: { runId: string; limit: number }) => [p.runId, p.limit],
  row: asRun,
});

/** The newest of its redrives that took a step and were then cancelled: the work goes on from there. */
export const cancelledRedrive = query({
  name: "dead_letter.cancelled_redrive",
  text: `
select * from holdfast.runs r
 where redrive_of = $1 and status = 'interrupted' and ${hasRootCheckpoint({ threadId: "r.thread_id", runId: "r.run_id" })}
 order by seq desc limit 1`,
  values: (p: { runId: string }) => [p.runId],
  row: asRun,
});

/** The newest later run of its thread; not the one that undoes its effects, nor a redrive that was cancelled before its first step. */
export const laterRun = query({
  name: "dead_letter.later_run",
  text: `
select * from holdfast.runs r
 where thread_id = $1 and seq > $2 and kind = 'graph'
   and not (status = 'interrupted' and redrive_of is not distinct from $3
            and not ${hasRootCheckpoint({ threadId: "$1::uuid", runId: "r.run_id" })})
 order by seq desc limit 1`,
  values: (p: { threadId: string; seq: number; runId: string }) => [p.threadId, p.seq, p.runId],
  row: asRun,
});

/** Whether effects of this run were undone, or are to be. */
export const compensationOf = query({
  name: "dead_letter.compensation",
  text: `
select (select c.status from holdfast.runs c where c.compensates = $1 order by c.finished_at desc nulls first limit 1) as status,
       exists (select 1 from holdfast.effects e where e.run_id = $1 and e.state = 'compensated') as undone`,
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => ({ status: raw.status as string | null, undone: raw.undone as boolean }),
});

/** Long unhandled ones are closed; the batch is bounded. */
export const discardOld = query({
  name: "dead_letter.discard_old",
  text: `
update holdfast.runs set discarded_at = holdfast.now(), discard_reason = $2
 where status in ('error', 'timeout') and discarded_at is null and run_id in (
   select run_id from holdfast.runs
    where status in ('error', 'timeout') and discarded_at is null
      and finished_at < holdfast.now() - $1 * interval '1 day'
    order by finished_at limit $3)
returning run_id`,
  values: (p: { days: number; reason: string; limit: number }) => [p.days, p.reason, p.limit],
  row: (raw) => raw.run_id as string,
});

/**
 * Removes rows of dead letters that were discarded long ago. What the thread shows stays: its newest run is kept, and
 * so is a run that another one continues or undoes, and one that asks a human. Checkpoints and effects are the thread's.
 */
export const removeDiscarded = query({
  name: "dead_letter.remove_discarded",
  text: `
delete from holdfast.runs where status in ('error', 'timeout') and run_id in (
  select r.run_id from holdfast.runs r
   where r.status in ('error', 'timeout') and r.discarded_at < holdfast.now() - $1 * interval '1 day'
     and exists (select 1 from holdfast.runs l where l.thread_id = r.thread_id and l.seq > r.seq)
     and not exists (select 1 from holdfast.runs n where n.redrive_of = r.run_id)
     and not exists (select 1 from holdfast.runs c where c.compensates = r.run_id)
     and not exists (select 1 from holdfast.escalations q where q.thread_id = r.thread_id and q.run_id = r.run_id and q.status = 'open')
   order by r.discarded_at limit $2)
returning run_id`,
  values: (p: { days: number; limit: number }) => [p.days, p.limit],
  row: (raw) => raw.run_id as string,
});
