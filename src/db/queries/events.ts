import { query } from "../query.ts";
import { whole } from "./parts.ts";

/**
 * A page of a run's stream and whether more can come: status and events are of one snapshot. It holds at least one
 * event if there is any, then as many as fit into `bytes`.
 */
export const readEvents = query({
  name: "events.read",
  prepared: true,
  text: `
select r.status, e.seq, e.event, ${whole("r.thread_id", "e.data")} as data, e.created_at
  from holdfast.runs r
  left join lateral (
    select p.seq, p.event, p.data, p.created_at
      from (select n.*, sum(holdfast.whole_bytes(n.data)) over (order by n.seq) - holdfast.whole_bytes(n.data) as before
              from (select seq, event, data, created_at from holdfast.run_events
                     where run_id = r.run_id and seq > $2 order by seq limit $3) n) p
     where p.before < $4) e on true
 where r.run_id = $1 order by e.seq`,
  values: (p: { runId: string; afterSeq: number; limit: number; bytes: number }) => [
    p.runId,
    p.afterSeq,
    p.limit,
    p.bytes,
  ],
  row: (raw) => ({
    status: raw.status as string,
    seq: raw.seq as number | null,
    event: raw.event as string,
    data: raw.data as string,
    createdAt: raw.created_at as Date,
  }),
});

/** The number of the last event, -1 when there is none. */
export const lastSeq = query({
  name: "events.last_seq",
  prepared: true,
  text: "select coalesce(max(seq), -1) as seq from holdfast.run_events where run_id = $1",
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => raw.seq as number,
});

/** Appends behind the last event; the thread is locked and the run has no live holder. */
export const appendEvents = query({
  name: "events.append",
  prepared: true,
  text: `
insert into holdfast.run_events (run_id, seq, attempt, event, data)
select $1, coalesce((select max(seq) from holdfast.run_events where run_id = $1), -1) + e.n::int, $2, e.event, e.data
  from unnest($3::text[], $4::text[]) with ordinality as e (event, data, n)
on conflict do nothing returning seq`,
  values: (p: { runId: string; attempt: number; events: readonly { event: string; data: string }[] }) => [
    p.runId,
    p.attempt,
    p.events.map((e) => e.event),
    p.events.map((e) => e.data),
  ],
  row: (raw) => raw.seq as number,
});
