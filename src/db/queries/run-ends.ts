import type { RunError, RunStatus } from "../../domain/run.ts";
import type { RunEnd, RunName } from "../../domain/run-end.ts";
import { query } from "../query.ts";
import { whole } from "./parts.ts";

/** For many at once. A run that is gone is missing. The `limit` tells the planner to expect few. */
export const runEnds = query({
  name: "run.ends",
  prepared: true,
  text: `
select r.run_id, r.status, r.error, ${whole("r.thread_id", "r.output")} as output,
       (select json_agg(json_build_object('id', e.interrupt_id, 'value', e.payload::json) order by e.created_at, e.ordinal)::text
          from holdfast.escalations e
         where e.thread_id = r.thread_id and e.run_id = r.run_id and r.status = 'success') as asked
  from (select * from unnest($1::uuid[], $2::uuid[], $3::text[]) as k (run_id, thread_id, tenant) limit $4) k
  join holdfast.runs r using (run_id, thread_id, tenant)`,
  values: (names: readonly RunName[]) => [
    names.map(({ runId }) => runId),
    names.map(({ threadId }) => threadId),
    names.map(({ tenant }) => tenant),
    names.length,
  ],
  row: (raw): RunEnd => ({
    runId: raw.run_id as string,
    status: raw.status as RunStatus,
    error: raw.error as RunError | null,
    output: raw.output as string | null,
    asked: raw.asked as string | null,
  }),
});
