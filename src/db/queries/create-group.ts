// Accepting many runs, each with a thread that is made for it, in one statement. Nobody can have locked a thread that
// does not exist yet, and no other run of it can be open. The threads are made in the order of their ids: two groups that
// make the same ones do not wait for each other.
import { minutesOf } from "../../domain/lifetimes.ts";
import { query } from "../query.ts";
import type { NewRun, NewThread } from "./create.ts";
import { asRun, runColumns } from "./rows.ts";

/** Neither a resume nor a redrive. */
export interface NewThreadRun
  extends Omit<NewRun, "resume" | "redriveOf" | "kwargs" | "metadata">,
    Pick<NewThread, "ttl" | "key"> {
  /** These as JSON. */
  kwargs: string;
  metadata: string;
  threadMetadata: string;
  threadConfig: string | null;
}

/** The runs that were accepted; missing are those whose thread exists already. */
export const insertRunsOnNewThreads = query({
  name: "run.insert_many",
  prepared: true,
  text: `
with asked as materialized (
  select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::float8[], $8::boolean[],
                       $9::jsonb[], $10::jsonb[], $11::int[], $12::text[], $13::jsonb[], $14::jsonb[], $15::float8[],
                       $16::float8[], $17::text[]) with ordinality
    as k (run_id, tenant, thread_id, assistant_id, graph_id, strategy, after_seconds, temporary, kwargs, metadata,
          attempts_max, effects_policy, thread_metadata, thread_config, ttl_minutes, keep_latest_minutes, key, item)
   limit $18
), made as (
  insert into holdfast.threads (thread_id, tenant, metadata, ttl_minutes, keep_latest_minutes, key, status, graph_id, config)
  select thread_id, tenant,
         thread_metadata || jsonb_build_object('graph_id', graph_id, 'assistant_id', assistant_id::text),
         ttl_minutes, keep_latest_minutes, key, 'busy', graph_id, coalesce(thread_config, '{}')
    from asked order by thread_id
  on conflict (thread_id) do nothing returning thread_id
)
insert into holdfast.runs as r (run_id, tenant, thread_id, assistant_id, graph_id, multitask_strategy, available_at, delayed,
                           temporary, kwargs, metadata, attempts_max, effects_policy, status)
select run_id, tenant, thread_id, assistant_id, graph_id, strategy, holdfast.now() + after_seconds * interval '1 second',
       after_seconds > 0, temporary, kwargs, metadata, attempts_max, effects_policy,
       case when after_seconds > 0 then 'blocked' else 'queued' end
  from asked join made using (thread_id) order by item
returning ${runColumns("r")}`,
  values: (all: readonly NewThreadRun[]) => [
    all.map(({ runId }) => runId),
    all.map(({ tenant }) => tenant),
    all.map(({ threadId }) => threadId),
    all.map(({ assistantId }) => assistantId),
    all.map(({ graphId }) => graphId),
    all.map(({ multitaskStrategy }) => multitaskStrategy),
    all.map(({ afterSeconds }) => afterSeconds),
    all.map(({ temporary }) => temporary),
    all.map(({ kwargs }) => kwargs),
    all.map(({ metadata }) => metadata),
    all.map(({ attemptsMax }) => attemptsMax),
    all.map(({ effectsPolicy = null }) => effectsPolicy),
    all.map(({ threadMetadata }) => threadMetadata),
    all.map(({ threadConfig }) => threadConfig),
    all.map(({ ttl }) => minutesOf(ttl, "delete")),
    all.map(({ ttl }) => minutesOf(ttl, "keep_latest")),
    all.map(({ key = null }) => key),
    all.length,
  ],
  row: asRun,
});
