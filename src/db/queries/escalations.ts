import type { AccessFilter } from "../../domain/access.ts";
import type { EscalationReason, ResponseType } from "../../domain/escalation.ts";
import { query } from "../query.ts";
import { accessValue, ofVisibleThread } from "./access.ts";
import { hasRootCheckpoint } from "./checkpoint-fragments.ts";
import { asEscalation, escalationColumns } from "./rows.ts";

export interface NewEscalation {
  escalationId: string;
  tenant: string;
  threadId: string;
  runId: string | null;
  graphId: string;
  node: string;
  taskId: string;
  ordinal: number;
  interruptId: string | null;
  checkpointNs: string;
  checkpointId: string;
  payload: string;
  payloadDigest: string;
  reasons: EscalationReason[];
  allowed: ResponseType[];
  assignee: string | null;
  priority: number;
  slaSeconds: number | null;
  expiresInSeconds: number | null;
  onExpiry: string | null;
  /** The effect that it asks about. */
  effectId: string | null;
}

/** A question asked again by a repeated attempt stays the row it was. */
export const insertEscalation = query({
  name: "escalation.insert",
  text: `
insert into holdfast.escalations (escalation_id, tenant, thread_id, run_id, graph_id, node, task_id, ordinal, interrupt_id,
  checkpoint_ns, checkpoint_id, payload, payload_digest, reasons, allowed_decisions, assignee, priority, sla_at, expires_at,
  on_expiry, effect_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
        holdfast.now() + $18 * interval '1 second', holdfast.now() + $19 * interval '1 second', $20, $21)
on conflict (thread_id, task_id, ordinal) do update
   set run_id = excluded.run_id, payload = excluded.payload, payload_digest = excluded.payload_digest,
       checkpoint_ns = excluded.checkpoint_ns, checkpoint_id = excluded.checkpoint_id, status = 'open',
       effect_id = excluded.effect_id, reasons = excluded.reasons, allowed_decisions = excluded.allowed_decisions
 where escalations.status in ('open', 'superseded')
returning *`,
  values: (p: NewEscalation) => [
    p.escalationId,
    p.tenant,
    p.threadId,
    p.runId,
    p.graphId,
    p.node,
    p.taskId,
    p.ordinal,
    p.interruptId,
    p.checkpointNs,
    p.checkpointId,
    p.payload,
    p.payloadDigest,
    JSON.stringify(p.reasons),
    JSON.stringify(p.allowed),
    p.assignee,
    p.priority,
    p.slaSeconds,
    p.expiresInSeconds,
    p.onExpiry,
    p.effectId,
  ],
  row: asEscalation,
});

export const getEscalation = query({
  name: "escalation.get",
  text: "select * from holdfast.escalations where escalation_id = $1 and tenant = $2",
  values: (p: { escalationId: string; tenant: string }) => [p.escalationId, p.tenant],
  row: asEscalation,
});

export const listEscalations = query({
  name: "escalation.list",
  text: `
select * from holdfast.escalations
 where tenant = $1 and ($2::text is null or status = $2) and ($3::uuid is null or thread_id = $3)
   and ($4::text is null or graph_id = $4) and ${ofVisibleThread("escalations", "$7")}
 order by priority desc, created_at limit $5 offset $6`,
  values: (p: {
    tenant: string;
    status: string | null;
    threadId: string | null;
    graphId: string | null;
    access: AccessFilter | null;
    limit: number;
    offset: number;
  }) => [p.tenant, p.status, p.threadId, p.graphId, p.limit, p.offset, accessValue(p)],
  row: asEscalation,
});

/** Every question of a thread and what became of it, in the order they were asked. */
export const escalationsOfThread = query({
  name: "escalation.of_thread",
  prepared: true,
  text: `select ${escalationColumns("e")} from holdfast.escalations e where thread_id = $1 order by created_at, ordinal`,
  values: (p: { threadId: string }) => [p.threadId],
  row: asEscalation,
});

/** The one statement that decides: zero rows means somebody else did. */
export const decideEscalation = query({
  name: "escalation.decide",
  text: `
update holdfast.escalations
   set status = $2, decision = $3, decided_by = $4, decided_at = holdfast.now(), resume_run_id = $5
 where escalation_id = $1 and status = 'open' returning *`,
  values: (p: {
    escalationId: string;
    status: "decided" | "expired";
    decision: string;
    decidedBy: string;
    resumeRunId: string;
  }) => [p.escalationId, p.status, p.decision, p.decidedBy, p.resumeRunId],
  row: asEscalation,
});

/** Open questions that are not asked any more: new input, a fork or another path made them moot. */
export const supersedeEscalations = query({
  name: "escalation.supersede",
  prepared: true,
  text: `
update holdfast.escalations set status = 'superseded'
 where thread_id = $1 and status = 'open' and not compensation and not (escalation_id = any($2::uuid[])) returning escalation_id`,
  values: (p: { threadId: string; keep: string[] }) => [p.threadId, p.keep],
  row: (raw) => raw.escalation_id as string,
});

/** Those asked before a run that has gone on from them: its checkpoints are the thread's state, and ask for nothing. */
export const supersedeOvertaken = query({
  name: "escalation.supersede_overtaken",
  prepared: true,
  text: `
update holdfast.escalations set status = 'superseded'
 where thread_id = $2 and status = 'open' and not compensation
   and ${hasRootCheckpoint({ threadId: "$2::uuid", runId: "$1" })} returning escalation_id`,
  values: (p: { runId: string; threadId: string }) => [p.runId, p.threadId],
  row: (raw) => raw.escalation_id as string,
});

/** A rolled-back resume gives its question back; questions the run itself asked go. */
export const reopenEscalations = query({
  name: "escalation.reopen",
  text: `
with asked as (delete from holdfast.escalations where thread_id = $2 and run_id = $1 and status = 'open')
update holdfast.escalations
   set status = 'open', decision = null, decided_by = null, decided_at = null, resume_run_id = null
 where resume_run_id = $1 and status in ('decided', 'expired') returning escalation_id`,
  values: (p: { runId: string; threadId: string }) => [p.runId, p.threadId],
  row: (raw) => raw.escalation_id as string,
});

export const expiredEscalations = query({
  name: "escalation.expired",
  text: `
select e.* from holdfast.escalations e
 where e.status = 'open' and e.expires_at < holdfast.now() and e.on_expiry is not null
   and not exists (select 1 from holdfast.runs r where r.thread_id = e.thread_id and r.status in ('queued', 'running'))
 order by e.expires_at limit $1`,
  values: (p: { limit: number }) => [p.limit],
  row: asEscalation,
});
