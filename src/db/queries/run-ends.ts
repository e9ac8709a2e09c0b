import type { RunError, RunStatus } from "../../domain/run.ts";
import { query } from "../query.ts";
import { whole } from "./parts.ts";

export interface RunName {
  runId: string;
  threadId: string;
  tenant: string;
}

/** What those who wait for a run want to know of it. */
export interface RunEnd {
  runId: string;
  status: RunStatus;
  error: RunError | null;
  /** JSON of what it gave; null before it has ended. */
  output: string | null;
  /** JSON of the questions it stopped at; null when there are none. */
  asked: string | null;
}

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
  row: (raw) => ({
    runId: raw.run_id as string,
    status: raw.status as RunStatus,
    error: raw.error as RunError | null,
    output: raw.output as string | null,
    asked: raw.asked as string | null,
  }),
});
