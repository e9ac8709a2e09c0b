// What the newer streaming protocol reads of a thread: where its tape begins, which run is where, and how runs ended.
import type { RunError, RunStatus } from "../../domain/run.ts";
import { query } from "../query.ts";

interface Name {
  threadId: string;
  tenant: string;
}

/** The epoch that a client starts at who shows no place: of the first run that was open a while ago, else of the last. */
export const tapeStart = query({
  name: "protocol.tape_start",
  text: `
select coalesce(min(first_epoch) filter (where finished_at is null
                                            or finished_at > holdfast.now() - make_interval(secs => $3)),
                max(first_epoch), 0) as epoch
  from holdfast.runs where thread_id = $1 and tenant = $2 and first_epoch is not null`,
  values: (p: Name & { seconds: number }) => [p.threadId, p.tenant, p.seconds],
  row: (raw) => Number(raw.epoch),
});

/** The last event of a thread. */
export const tapeEnd = query({
  name: "protocol.tape_end",
  text: `
select r.first_epoch as epoch, coalesce((select max(seq) from holdfast.run_events where run_id = r.run_id), -1) as n
  from holdfast.runs r
 where r.thread_id = $1 and r.tenant = $2 and r.first_epoch is not null
 order by r.first_epoch desc limit 1`,
  values: (p: Name) => [p.threadId, p.tenant],
  row: (raw) => ({ epoch: Number(raw.epoch), n: raw.n as number }),
});

export interface TapeRun {
  runId: string;
  graphId: string;
  /** Whether its events are stored in the protocol's form. */
  protocol: boolean;
  /** A compensation is no run of its client's. */
  shown: boolean;
}

/** The run that was started at an epoch. */
export const runAtEpoch = query({
  name: "protocol.run_at",
  text: `
select run_id, graph_id, kind, kwargs ->> 'stream_protocol' = 'v2' as protocol
  from holdfast.runs where thread_id = $1 and tenant = $2 and first_epoch = $3`,
  values: (p: Name & { epoch: number }) => [p.threadId, p.tenant, p.epoch],
  row: (raw): TapeRun => ({
    runId: raw.run_id as string,
    graphId: raw.graph_id as string,
    protocol: raw.protocol === true,
    shown: raw.kind === "graph",
  }),
});

export interface RunEnd {
  status: RunStatus;
  error: RunError | null;
  last: { n: number; event: string } | null;
  at: Date;
  asked: boolean;
}

/** How a run stands: its status, its last event, and whether it left a question. */
export const runEnd = query({
  name: "protocol.run_end",
  text: `
select r.status, r.error, e.seq, e.event, coalesce(r.finished_at, r.updated_at) as at,
       exists (select 1 from holdfast.escalations q where q.run_id = r.run_id) as asked
  from holdfast.runs r
  left join lateral (select seq, event from holdfast.run_events
                      where run_id = r.run_id order by seq desc limit 1) e on true
 where r.run_id = $1`,
  values: (p: { runId: string }) => [p.runId],
  row: (raw): RunEnd => ({
    status: raw.status as RunStatus,
    error: raw.error as RunError | null,
    last: raw.seq === null ? null : { n: raw.seq as number, event: raw.event as string },
    at: raw.at as Date,
    asked: raw.asked as boolean,
  }),
});

const messagesReadMax = 2_000;

/** Messages of a run that were begun and not ended, as far as its last events tell. */
export const openMessages = query({
  name: "protocol.open_messages",
  text: `
select t.event, t.message_run
  from (select distinct on (m.event, m.message_run) m.event, m.message_run, m.kind
          from (select e.seq, e.event, e.data::jsonb ->> 'run_id' as message_run, e.data::jsonb ->> 'event' as kind
                  from holdfast.run_events e
                 where e.run_id = $1 and (e.event = 'messages' or e.event like 'messages|%')
                   and (e.data like '{"event":"message-%' or e.data like '{"event":"error"%')
                 order by e.seq desc limit ${messagesReadMax}) m
         order by m.event, m.message_run, m.seq desc) t
 where t.kind = 'message-start'`,
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => ({ event: raw.event as string, messageRun: raw.message_run as string | null }),
});

/** The subgraphs of the run that a thread started last, each with its latest state. */
export const subgraphStates = query({
  name: "protocol.subgraphs",
  text: `
select distinct on (e.event) e.event, e.data
  from holdfast.run_events e
 where e.run_id = $1 and e.event like 'lifecycle|%' order by e.event, e.seq desc limit $2`,
  values: (p: { runId: string; limit: number }) => [p.runId, p.limit],
  row: (raw) => ({ event: raw.event as string, data: raw.data as string }),
});
