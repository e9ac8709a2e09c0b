// The ledger of effects. Each move names the lease; zero rows means another holder has the thread.
import type { EffectState } from "../../domain/effect.ts";
import { query } from "../query.ts";

export interface EffectRow {
  effect_id: string;
  key: string;
  tool: string;
  state: EffectState;
  args_digest: string;
  args: string;
  result: string | null;
  error: unknown;
  epoch: number;
  ordinal: number;
  task_id: string;
  run_id: string | null;
  prepared_at: Date;
  dispatched_at: Date | null;
  settled_at: Date | null;
}
const asEffect = (raw: Record<string, unknown>): EffectRow => raw as unknown as EffectRow;

interface Lease {
  runId: string;
  threadId: string;
  epoch: number;
}
const lease = `select run_id, epoch from holdfast.runs
   where run_id = $1 and thread_id = $2 and epoch = $3 and status = 'running' for share`;

/** Finds the row of this key or prepares it; zero rows means the lease is gone. */
export const prepareEffect = query({
  name: "effect.prepare",
  text: `
with lease as materialized (${lease}), made as (
  insert into holdfast.effects (effect_id, tenant, run_id, thread_id, task_id, ordinal, tool, key, args_digest, args, state, epoch)
  select $4, $5, lease.run_id, $2, $6, $7, $8, $9, $10, $11, 'prepared', lease.epoch from lease
  on conflict (key) do nothing returning *
)
select * from made
union all
select e.* from holdfast.effects e, lease where e.key = $9 and not exists (select 1 from made)`,
  values: (
    p: Lease & {
      effectId: string;
      tenant: string;
      taskId: string;
      ordinal: number;
      tool: string;
      key: string;
      argsDigest: string;
      args: string;
    },
  ) => [
    p.runId,
    p.threadId,
    p.epoch,
    p.effectId,
    p.tenant,
    p.taskId,
    p.ordinal,
    p.tool,
    p.key,
    p.argsDigest,
    p.args,
  ],
  row: asEffect,
});

/** The last fence before the world. */
export const dispatchEffect = query({
  name: "effect.dispatch",
  text: `
with lease as materialized (${lease})
update holdfast.effects e set state = 'dispatched', dispatched_at = holdfast.now(), epoch = lease.epoch
  from lease where e.key = $4 and e.state in ('prepared', 'dispatched', 'unknown') returning e.*`,
  values: (p: Lease & { key: string }) => [p.runId, p.threadId, p.epoch, p.key],
  row: asEffect,
});

export const settleEffect = query({
  name: "effect.settle",
  text: `
with lease as materialized (${lease})
update holdfast.effects e set state = $5, result = $6, error = $7, settled_at = holdfast.now()
  from lease where e.key = $4 and e.state in ('dispatched', $5) and e.epoch = lease.epoch returning e.*`,
  values: (
    p: Lease & {
      key: string;
      state: "succeeded" | "failed" | "unknown";
      result: string | null;
      error: unknown;
    },
  ) => [
    p.runId,
    p.threadId,
    p.epoch,
    p.key,
    p.state,
    p.result,
    p.error === null ? null : JSON.stringify(p.error),
  ],
  row: asEffect,
});

export const effectsOfThread = query({
  name: "effect.of_thread",
  text: `select e.* from holdfast.effects e where e.thread_id = $1 and e.tenant = $2 order by e.prepared_at, e.ordinal`,
  values: (p: { threadId: string; tenant: string }) => [p.threadId, p.tenant],
  row: asEffect,
});
