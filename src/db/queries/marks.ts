// What the streams of a process are woken by when no notification comes: one statement for all of them.
import { query } from "../query.ts";

/** The mark of a run that has not ended, for those who wait for its end alone. */
export const openMark = "open";

/** For each run and thread that exists, a text that is another one after anything a stream of it would tell. */
export const readMarks = query({
  name: "stream.marks",
  prepared: true,
  text: `
select 'run' as kind, k.id, concat_ws(' ', r.status, r.epoch, e.seq) as mark
  from unnest($1::uuid[]) as k (id)
  join holdfast.runs r on r.run_id = k.id
  left join lateral (select seq from holdfast.run_events where run_id = k.id order by seq desc limit 1) e on true
union all
select 'end', k.id, case when r.finished_at is null then '${openMark}' else 'ended' end
  from unnest($2::uuid[]) as k (id) join holdfast.runs r on r.run_id = k.id
union all
select 'thread', k.id, concat_ws(' ', t.epoch, r.run_id, r.status, r.epoch)
  from unnest($3::uuid[]) as k (id)
  join holdfast.threads t on t.thread_id = k.id
  left join holdfast.runs r on r.thread_id = k.id and r.status in ('queued', 'running')`,
  values: (p: { runIds: string[]; endingIds: string[]; threadIds: string[] }) => [
    p.runIds,
    p.endingIds,
    p.threadIds,
  ],
  row: (raw) => ({
    kind: raw.kind as "run" | "end" | "thread",
    id: raw.id as string,
    mark: raw.mark as string,
  }),
});
