// The journal of model calls. Each write names the lease; zero rows means another holder has the thread.
import { query } from "../query.ts";

export interface ModelCallRow {
  call_id: string;
  run_id: string | null;
  task_id: string;
  nth: number;
  state: "open" | "asked" | "answered";
  tries: number;
  waits: number;
  model: string | null;
  answer: string | null;
  error: unknown;
  input_tokens: number | null;
  output_tokens: number | null;
}
const asModelCall = (raw: Record<string, unknown>): ModelCallRow => raw as unknown as ModelCallRow;

export interface Lease {
  runId: string;
  threadId: string;
  epoch: number;
}
const lease = `select run_id, epoch from holdfast.runs
   where run_id = $1 and thread_id = $2 and epoch = $3 and status = 'running' for share`;

/**
 * Finds the call or writes it down. A request that was under way belonged to an execution that is gone: its try
 * stays counted. Another run of the thread, a redrive say, has a budget of its own.
 */
export const openModelCall = query({
  name: "model_call.open",
  text: `
with lease as materialized (${lease})
insert into holdfast.model_calls as c (call_id, tenant, run_id, thread_id, task_id, request_digest, nth, epoch)
select $4, $5, lease.run_id, $2, $6, $7, $8, lease.epoch from lease
on conflict (thread_id, task_id, request_digest, nth) do update
   set state = case c.state when 'answered' then 'answered' else 'open' end,
       tries = case when c.run_id = excluded.run_id or c.state = 'answered' then c.tries else 0 end,
       waits = case when c.run_id = excluded.run_id then c.waits else 0 end,
       run_id = case c.state when 'answered' then c.run_id else excluded.run_id end,
       epoch = excluded.epoch
returning c.*`,
  values: (p: Lease & { callId: string; tenant: string; taskId: string; digest: string; nth: number }) => [
    p.runId,
    p.threadId,
    p.epoch,
    p.callId,
    p.tenant,
    p.taskId,
    p.digest,
    p.nth,
  ],
  row: asModelCall,
});

/**
 * Counts a request before it is sent, unless this run's requests of the task that brought no answer have reached the
 * budget. Requests of this attempt that are still under way are not held against it. Safe to repeat.
 */
export const askModelCall = query({
  name: "model_call.ask",
  text: `
with lease as materialized (${lease}), spent as (
  select coalesce(sum(c.tries - case when c.state = 'answered' or c.state = 'asked' and c.epoch = $3 then 1 else 0 end), 0) as tries
    from holdfast.model_calls c
   where c.thread_id = $2 and c.task_id = $5 and c.run_id = $1 and c.call_id <> $4
), asked as (
  update holdfast.model_calls c
     set state = 'asked', tries = $6::int, model = $7, error = null, asked_at = holdfast.now(), epoch = lease.epoch
    from lease
   where c.call_id = $4 and c.state in ('open', 'asked') and c.tries in ($6::int - 1, $6::int)
     and (select tries from spent) + $6::int - 1 < $8::int
  returning c.call_id
)
select exists (select 1 from asked) as granted from lease`,
  values: (
    p: Lease & { callId: string; taskId: string; nthTry: number; model: string; triesMax: number },
  ) => [p.runId, p.threadId, p.epoch, p.callId, p.taskId, p.nthTry, p.model, p.triesMax],
  row: (raw) => raw.granted as boolean,
});

export const failModelCall = query({
  name: "model_call.fail",
  text: `
with lease as materialized (${lease})
update holdfast.model_calls c set state = 'open', error = $5, epoch = lease.epoch
  from lease where c.call_id = $4 and c.state in ('open', 'asked') returning c.call_id`,
  values: (p: Lease & { callId: string; error: unknown }) => [
    p.runId,
    p.threadId,
    p.epoch,
    p.callId,
    JSON.stringify(p.error),
  ],
  row: (raw) => raw.call_id as string,
});

/** Counts that the call was put off; the row says how often. */
export const putOffModelCall = query({
  name: "model_call.put_off",
  text: `
with lease as materialized (${lease})
update holdfast.model_calls c set waits = c.waits + 1, epoch = lease.epoch
  from lease where c.call_id = $4 and c.state = 'open' returning c.waits`,
  values: (p: Lease & { callId: string }) => [p.runId, p.threadId, p.epoch, p.callId],
  row: (raw) => raw.waits as number,
});

/** Stores the answer. Nobody has seen its end before this statement is committed. */
export const answerModelCall = query({
  name: "model_call.answer",
  text: `
with lease as materialized (${lease})
update holdfast.model_calls c
   set state = 'answered', answer = $5, model = $6, input_tokens = $7, output_tokens = $8, answered_at = holdfast.now()
  from lease
 where c.call_id = $4 and c.epoch = lease.epoch and (c.state = 'asked' or c.state = 'answered' and c.answer = $5)
returning c.call_id`,
  values: (
    p: Lease & {
      callId: string;
      answer: string;
      model: string;
      inputTokens: number | null;
      outputTokens: number | null;
    },
  ) => [p.runId, p.threadId, p.epoch, p.callId, p.answer, p.model, p.inputTokens, p.outputTokens],
  row: (raw) => raw.call_id as string,
});

/** A row when the checkpoint is stored: the ids of its tasks then last. */
export const checkpointStored = query({
  name: "model_call.checkpoint_stored",
  text: "select 1 from public.checkpoints where thread_id = $1 and checkpoint_ns = $2 and checkpoint_id = $3",
  values: (p: { threadId: string; ns: string; checkpointId: string }) => [p.threadId, p.ns, p.checkpointId],
  row: () => true,
});

/** A run's calls, as if they had never been asked: only those of its last step could still be repeated. */
export const forgetAnswers = query({
  name: "model_call.forget",
  text: "delete from holdfast.model_calls where run_id = $1 returning call_id",
  values: (p: { runId: string }) => [p.runId],
  row: (raw) => raw.call_id as string,
});
