// What our own routes answer with.
import { z } from "zod";
import { deliveryStatuses } from "../../db/queries/webhooks.ts";
import { effectClasses, effectStates } from "../../domain/effect.ts";
import { escalationStatuses, responseTypes } from "../../domain/escalation.ts";
import { multitaskStrategies } from "../../domain/run.ts";
import { wireRunStatuses } from "../schemas/run.ts";
import { id, json, record, run, time } from "./answers.ts";

const number = z.number().int();
const status = z.enum(wireRunStatuses);

const reason = z.object({ code: z.string(), message: z.string() });
export const escalation = z
  .object({
    escalation_id: id,
    thread_id: id,
    run_id: id.nullable(),
    graph_id: z.string(),
    node: z.string(),
    task_id: z.string(),
    ordinal: number,
    interrupt_id: z.string().nullable(),
    checkpoint_ns: z.string(),
    checkpoint_id: z.string(),
    payload: json.describe("what is shown to the human"),
    payload_digest: z.string(),
    reasons: z.array(reason),
    allowed_decisions: z.array(z.enum(responseTypes)),
    assignee: z.string().nullable(),
    priority: number,
    sla_at: time.nullable(),
    expires_at: time.nullable(),
    on_expiry: z.enum(["reject", "approve"]).nullable(),
    status: z.enum(escalationStatuses),
    decision: json,
    decided_by: z.string().nullable(),
    decided_at: time.nullable(),
    resume_run_id: id.nullable(),
    effect_id: id.nullable(),
    compensation: z.boolean(),
    created_at: time,
  })
  .meta({ id: "Escalation" });
export const decided = z.object({ escalation, run });

const runError = z
  .looseObject({ code: z.string(), name: z.string(), message: z.string() })
  .meta({ id: "RunError" });

export const deadLetter = z
  .object({
    run_id: id,
    thread_id: id,
    assistant_id: id,
    graph_id: z.string(),
    error: runError.nullable(),
    fingerprint: z.string().nullable(),
    attempt: number,
    failures: number,
    crashes: number,
    losses: number,
    suspect: z.boolean(),
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    discarded_at: time.nullable(),
    discard_reason: z.string().nullable(),
    redrive_of: id.nullable(),
    status,
    advice: z.string(),
    metadata: record,
    kwargs: record,
    multitask_strategy: z.enum(multitaskStrategies),
    updated_at: time,
  })
  .meta({ id: "DeadLetter" });

const attempt = z
  .object({
    attempt: number,
    epoch: number,
    worker_id: z.string().nullable(),
    outcome: z.string(),
    error: json,
    retry_at: time.nullable(),
    started_at: time.nullable(),
    ended_at: time,
  })
  .meta({ id: "Attempt" });

const possible = z.object({
  possible: z.boolean(),
  why: z.string().nullable(),
  effects: z.array(json).optional(),
});
export const deadLetterStory = deadLetter.extend({
  input: json,
  command: json,
  attempts: z.array(attempt.extend({ waited_ms: number.nullable() })),
  effects: z.array(record),
  last_checkpoint_id: z.string().nullable(),
  redrives: z.array(z.object({ run_id: id, status, created_at: time })),
  redriven_by: z.array(id),
  redrive: z.object({ checkpoint: possible, start: possible }),
});

export const deadLetterGroup = z.object({
  fingerprint: z.string().nullable(),
  count: number,
  first_at: time,
  last_at: time,
  sample_run_id: id,
  graphs: z.array(z.string()),
  code: z.string(),
  name: z.string().nullable(),
  message: z.string().nullable(),
  advice: z.string(),
});

export const redriven = run.extend({ redrive_of: id.nullable() });
export const redrivePlan = z.object({
  dry_run: z.literal(true),
  redrive_of: id,
  thread_id: id,
  kwargs: record,
});
export const redrivenMany = z.object({
  dry_run: z.boolean(),
  matched: number,
  redriven: number,
  refused: number,
  results: z.array(
    z.object({
      run_id: id,
      redriven: z.boolean(),
      redrive_run_id: id.nullable(),
      available_at: time.nullable(),
      reason: z.string().nullable(),
    }),
  ),
});
export const discardedMany = z.object({
  dry_run: z.boolean(),
  discarded: number,
  run_ids: z.array(id),
  refused: z.array(id),
});

export const effect = z
  .object({
    effect_id: id,
    run_id: id.nullable(),
    task_id: z.string(),
    ordinal: number,
    tool: z.string(),
    tool_version: z.string().nullable(),
    tool_call_id: z.string().nullable(),
    class: z.enum(effectClasses),
    state: z.enum(effectStates),
    key: z.string(),
    business_key: z.string().nullable(),
    error: json,
    attempt: number.nullable(),
    dispatches: number,
    looks: number,
    prepared_at: time,
    first_dispatched_at: time.nullable(),
    dispatched_at: time.nullable(),
    settled_at: time.nullable(),
    checkpoint_ns: z.string(),
    checkpoint_id: z.string().nullable(),
    escalation_id: id.nullable(),
    reuses: id.nullable(),
    seq: number,
    compensates: id.nullable(),
    compensated_at: time.nullable(),
    compensated_by: id.nullable(),
    compensation_decision: json,
    args: json,
    result: json,
    duration_ms: number.nullable(),
  })
  .meta({ id: "Effect" });

const explainedRun = z.object({
  run_id: id,
  graph_id: z.string(),
  attempt: number,
  failures: number,
  crashes: number,
  losses: number,
  suspect: z.boolean(),
  worker_id: z.string().nullable(),
  lease_until: time.nullable(),
  available_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  error: runError.nullable(),
  status,
});
export const explanation = z.object({
  thread_id: id,
  status: z.enum(["idle", "busy", "interrupted", "error"]),
  doing: z.string(),
  run: explainedRun.nullable(),
  failed_step: z
    .object({ after_step: number.nullable(), nodes: z.array(z.string()), error: runError })
    .nullable(),
  attempts: z.array(attempt),
  next: z.array(z.string()),
  tools: z.array(
    effect
      .pick({ tool: true, class: true, state: true, run_id: true, task_id: true, settled_at: true })
      .extend({ escalation_id: id.nullable() }),
  ),
  open_questions: z.array(
    escalation.pick({ escalation_id: true, interrupt_id: true, node: true, reasons: true }),
  ),
  saved: z.object({
    result: z.boolean(),
    last_checkpoint_id: z.string().nullable(),
    last_checkpoint_at: z.string().nullable(),
  }),
  safe_to_retry: z.object({ safe: z.boolean(), why: z.string() }),
});

export const breaker = z
  .object({
    target: z.string(),
    state: z.enum(["closed", "open", "half_open"]),
    forced: z.boolean(),
    failures: number,
    opened_at: time.nullable(),
    probe_until: time.nullable(),
    updated_at: time,
  })
  .meta({ id: "Breaker" });

export const delivery = z
  .object({
    delivery_id: id,
    run_id: id,
    thread_id: id,
    url: z.string(),
    status: z.enum(deliveryStatuses),
    attempts: number,
    due_at: time,
    error: z.string().nullable(),
    created_at: time,
    ended_at: time.nullable(),
  })
  .meta({ id: "WebhookDelivery" });

export const alive = z.object({ ok: z.boolean() });
export const info = z.object({
  version: z.string(),
  context: z.literal("js"),
  flags: z.record(z.string(), z.boolean()),
});
