// The outbox of webhooks. A row is written by the statement that ends its run (settle.finish, run.cancel_waiting).
import type { AccessFilter } from "../../domain/access.ts";
import { query } from "../query.ts";
import { accessValue, ofVisibleThread } from "./access.ts";
import { whole } from "./parts.ts";

export const deliveryStatuses = ["pending", "delivered", "dead"] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

export interface DeliveryRow {
  delivery_id: string;
  tenant: string;
  run_id: string;
  thread_id: string;
  url: string;
  run: Record<string, unknown>;
  output: string | null;
  status: DeliveryStatus;
  attempts: number;
  due_at: Date;
  error: string | null;
  created_at: Date;
  ended_at: Date | null;
}

/** What callers are shown: all but the content. */
export type ShownDelivery = Omit<DeliveryRow, "tenant" | "run" | "output">;
const shownColumns =
  "delivery_id, run_id, thread_id, url, status, attempts, due_at, error, created_at, ended_at";
const asShown = (raw: Record<string, unknown>): ShownDelivery => raw as unknown as ShownDelivery;
const asStatus = (raw: Record<string, unknown>): DeliveryStatus => raw.status as DeliveryStatus;

/** Follows `ended`, the runs that a statement has ended: a delivery for each that asked for one. */
export const notingWebhooks = `
noted as (
  insert into holdfast.webhook_deliveries (tenant, run_id, thread_id, url, run, output)
  select tenant, run_id, thread_id, kwargs->>'webhook',
         jsonb_build_object('run_id', run_id, 'thread_id', thread_id, 'assistant_id', assistant_id, 'metadata', metadata,
                            'status', status, 'kwargs', kwargs, 'multitask_strategy', multitask_strategy, 'created_at', created_at,
                            'updated_at', updated_at, 'run_started_at', started_at, 'run_ended_at', finished_at, 'error', error->>'message'),
         ${whole("thread_id", "output")}
    from ended where kind = 'graph' and kwargs->>'webhook' is not null)`;

export type DueDelivery = Pick<DeliveryRow, "delivery_id" | "tenant" | "run_id" | "url" | "attempts">;

/**
 * Takes what is due, a few of each tenant, and puts it off by the time one attempt may take: nobody else sends it
 * meanwhile. Tenants in `without` have their share under way.
 */
export const takeDeliveries = query({
  name: "webhook.take",
  text: `
with due as materialized (
  select d.delivery_id
    from (select distinct tenant from holdfast.webhook_deliveries
           where status = 'pending' and due_at <= (select holdfast.now()) and tenant <> all ($3::text[])) t
   cross join lateral (
     select delivery_id from holdfast.webhook_deliveries
      where tenant = t.tenant and status = 'pending' and due_at <= (select holdfast.now())
        and case when url like '/%' then $5::boolean else $6::boolean end
      order by due_at limit $4 for update skip locked) d
   limit $1)
update holdfast.webhook_deliveries d
   set attempts = d.attempts + 1, due_at = holdfast.now() + $2 * interval '1 second'
  from due where d.delivery_id = due.delivery_id and d.status = 'pending'
returning d.delivery_id, d.tenant, d.run_id, d.url, d.attempts`,
  values: (p: {
    limit: number;
    holdSeconds: number;
    without: readonly string[];
    perTenantMax: number;
    /** Those for a path of the app itself. */
    inside: boolean;
    outside: boolean;
  }) => [p.limit, p.holdSeconds, p.without, p.perTenantMax, p.inside, p.outside],
  row: (raw) => raw as unknown as DueDelivery,
});

/** What is sent: read for one delivery at a time, for the values of a thread may be large. */
export const deliveryContent = query({
  name: "webhook.content",
  text: "select run, output from holdfast.webhook_deliveries where delivery_id = $1 and status = 'pending'",
  values: (p: { deliveryId: string }) => [p.deliveryId],
  row: (raw) => raw as unknown as Pick<DeliveryRow, "run" | "output">,
});

interface Attempt {
  deliveryId: string;
  /** The number that this attempt was given: another sender may have taken it since. */
  attempt: number;
}

export const delivered = query({
  name: "webhook.delivered",
  text: `
update holdfast.webhook_deliveries set status = 'delivered', error = null, ended_at = holdfast.now()
 where delivery_id = $1 and status = 'pending' returning status`,
  values: (p: Pick<Attempt, "deliveryId">) => [p.deliveryId],
  row: asStatus,
});

/** Sent again after `waitSeconds`; never again without one. */
export const notDelivered = query({
  name: "webhook.not_delivered",
  text: `
update holdfast.webhook_deliveries
   set status = case when $4::float8 is null then 'dead' else 'pending' end, error = $3,
       due_at = holdfast.now() + coalesce($4::float8, 0) * interval '1 second',
       ended_at = case when $4::float8 is null then holdfast.now() end
 where delivery_id = $1 and attempts = $2 and status = 'pending' returning status`,
  values: (p: Attempt & { error: string; waitSeconds: number | null }) => [
    p.deliveryId,
    p.attempt,
    p.error,
    p.waitSeconds,
  ],
  row: asStatus,
});

export const listDeliveries = query({
  name: "webhook.list",
  text: `
select ${shownColumns} from holdfast.webhook_deliveries
 where tenant = $1 and ($2::text is null or status = $2) and ($3::uuid is null or run_id = $3)
   and ${ofVisibleThread("webhook_deliveries", "$6")}
 order by created_at desc, delivery_id limit $4 offset $5`,
  values: (p: {
    tenant: string;
    status: DeliveryStatus | null;
    runId: string | null;
    access: AccessFilter | null;
    limit: number;
    offset: number;
  }) => [p.tenant, p.status, p.runId, p.limit, p.offset, accessValue(p)],
  row: asShown,
});

/** A dead delivery begins anew, under the same id. */
export const redriveDelivery = query({
  name: "webhook.redrive",
  text: `
update holdfast.webhook_deliveries
   set status = 'pending', attempts = 0, due_at = holdfast.now(), ended_at = null
 where delivery_id = $1 and tenant = $2 and status = 'dead' and ${ofVisibleThread("webhook_deliveries", "$3")}
returning ${shownColumns}`,
  values: (p: { deliveryId: string; tenant: string; access: AccessFilter | null }) => [
    p.deliveryId,
    p.tenant,
    accessValue(p),
  ],
  row: asShown,
});

export const pruneDeliveries = query({
  name: "webhook.prune",
  text: `
delete from holdfast.webhook_deliveries where delivery_id in (
  select delivery_id from holdfast.webhook_deliveries
   where status <> 'pending' and ended_at < holdfast.now() - $1 * interval '1 day' limit $2) returning delivery_id`,
  values: (p: { days: number; limit: number }) => [p.days, p.limit],
  row: (raw) => raw.delivery_id as string,
});
