// Crons. Whoever moves next_run_date from the value that was read has fired the tick; nobody else can.
import type { AccessFilter } from "../../domain/access.ts";
import { query } from "../query.ts";
import { accessValue } from "./access.ts";
import { asFound, type Page, pageText, pageValues } from "./page.ts";
import { asCron, type CronRow } from "./rows.ts";

interface CronKey {
  cronId: string;
  tenant: string;
}

export const databaseNow = query({
  name: "clock.now",
  text: "select holdfast.now() as now",
  values: () => [],
  row: (raw) => raw.now as Date,
});

/** What a caller decides about a cron. */
export interface CronSettings {
  schedule: string;
  timezone: string | null;
  endTime: Date | null;
  enabled: boolean;
  missed: string;
  onRunCompleted: string;
  payload: unknown;
  metadata: unknown;
  nextRunDate: Date | null;
}
const settings = (p: CronSettings): unknown[] => [
  p.schedule,
  p.timezone,
  p.endTime,
  p.enabled,
  p.missed,
  p.onRunCompleted,
  JSON.stringify(p.payload),
  JSON.stringify(p.metadata),
  p.nextRunDate,
];

/** Zero rows when the tenant has no such thread. */
export const insertCron = query({
  name: "cron.insert",
  text: `
with thread as (
  select thread_id from holdfast.threads where thread_id = $4 and tenant = $2 for key share
)
insert into holdfast.crons (cron_id, tenant, principal, thread_id, assistant_id, schedule, timezone, end_time, enabled,
                            missed, on_run_completed, payload, metadata, next_run_date)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
 where $4::uuid is null or exists (select 1 from thread)
returning *`,
  values: (
    p: CronSettings & CronKey & { principal: string; threadId: string | null; assistantId: string },
  ) => [p.cronId, p.tenant, p.principal, p.threadId, p.assistantId, ...settings(p)],
  row: asCron,
});

/** For a change: ticks wait, or were fired before. */
export const lockCron = query({
  name: "cron.lock",
  text: "select * from holdfast.crons where cron_id = $1 and tenant = $2 for no key update",
  values: (p: CronKey) => [p.cronId, p.tenant],
  row: asCron,
});

/** Of a cron that is locked. */
export const updateCron = query({
  name: "cron.update",
  text: `
update holdfast.crons
   set schedule = $3, timezone = $4, end_time = $5, enabled = $6, missed = $7, on_run_completed = $8, payload = $9,
       metadata = $10, next_run_date = $11, updated_at = holdfast.now()
 where cron_id = $1 and tenant = $2 returning *`,
  values: (p: CronSettings & CronKey) => [p.cronId, p.tenant, ...settings(p)],
  row: asCron,
});

export const getCron = query({
  name: "cron.get",
  text: "select * from holdfast.crons where cron_id = $1 and tenant = $2",
  values: (p: CronKey) => [p.cronId, p.tenant],
  row: asCron,
});

export const deleteCron = query({
  name: "cron.delete",
  text: "delete from holdfast.crons where cron_id = $1 and tenant = $2 returning cron_id",
  values: (p: CronKey) => [p.cronId, p.tenant],
  row: (raw) => raw.cron_id as string,
});

export const cronSorts = [
  "cron_id",
  "assistant_id",
  "thread_id",
  "created_at",
  "updated_at",
  "next_run_date",
] as const;

export interface CronFilter {
  tenant: string;
  assistantId: string | null;
  threadId: string | null;
  enabled: boolean | null;
  metadata: unknown;
  /** What the metadata must contain for the caller to see it. */
  access: AccessFilter | null;
}

const where = (access: string): string => `
 where tenant = $1 and ($2::uuid is null or assistant_id = $2) and ($3::uuid is null or thread_id = $3)
   and ($4::boolean is null or enabled = $4) and ($5::jsonb is null or metadata @> $5::jsonb)
   and (${access}::jsonb is null or metadata @> ${access}::jsonb)`;
const filterValues = (p: CronFilter): unknown[] => [
  p.tenant,
  p.assistantId,
  p.threadId,
  p.enabled,
  p.metadata === null ? null : JSON.stringify(p.metadata),
];

export const searchCrons = query({
  name: "cron.search",
  text: pageText({
    from: `holdfast.crons ${where("$11")}`,
    sortColumns: cronSorts,
    id: "cron_id",
    sized: ["payload", "metadata"],
    first: 6,
  }),
  values: (p: CronFilter & Page<(typeof cronSorts)[number]>) => [
    ...filterValues(p),
    ...pageValues(p),
    accessValue(p),
  ],
  row: asFound("cron_id", asCron),
});

export const countCrons = query({
  name: "cron.count",
  text: `select count(*) as n from holdfast.crons ${where("$6")}`,
  values: (p: CronFilter) => [...filterValues(p), accessValue(p)],
  row: (raw) => raw.n as number,
});

export type DueCron = CronRow & { next_run_date: Date; now: Date };
export type DueTick = Pick<
  DueCron,
  "cron_id" | "tenant" | "thread_id" | "next_run_date" | "schedule" | "timezone" | "end_time" | "now"
>;
const asDue = (raw: Record<string, unknown>): DueCron => raw as unknown as DueCron;

/** A few of each tenant, those that wait longest first; what their runs are to get is read with the tick. */
export const dueCrons = query({
  name: "cron.due",
  text: `
select c.*, holdfast.now() as now
  from (select distinct tenant from holdfast.crons where next_run_date <= (select holdfast.now())) t
 cross join lateral (
   select cron_id, tenant, thread_id, next_run_date, schedule, timezone, end_time from holdfast.crons
    where tenant = t.tenant and next_run_date <= (select holdfast.now()) order by next_run_date, cron_id limit $2) c
 order by c.next_run_date, c.cron_id limit $1`,
  values: (p: { limit: number; perTenantMax: number }) => [p.limit, p.perTenantMax],
  row: (raw) => raw as unknown as DueTick,
});

interface Tick {
  cronId: string;
  due: Date;
}

/** Locks a cron for its tick; zero rows when another scheduler has the tick, or had it. */
export const holdTick = query({
  name: "cron.hold",
  text: `
select *, holdfast.now() as now from holdfast.crons
 where cron_id = $1 and next_run_date = $2 for no key update skip locked`,
  values: (p: Tick) => [p.cronId, p.due],
  row: asDue,
});

/** Ends a tick, whatever came of it. Zero rows when somebody else has ended it. */
export const endTick = query({
  name: "cron.end_tick",
  text: `
update holdfast.crons set next_run_date = $3, last_run_id = coalesce($4, last_run_id), last_error = $5
 where cron_id = $1 and next_run_date = $2 returning cron_id`,
  values: (p: Tick & { next: Date | null; runId: string | null; error: string | null }) => [
    p.cronId,
    p.due,
    p.next,
    p.runId,
    p.error,
  ],
  row: (raw) => raw.cron_id as string,
});

/** Runs of a cron that are not finished. */
export const countOpenOfCron = query({
  name: "cron.open_runs",
  text: `
select count(*) as n from holdfast.runs
 where metadata ->> 'cron_id' = $1 and tenant = $2 and status in ('queued', 'blocked', 'running')`,
  values: (p: CronKey) => [p.cronId, p.tenant],
  row: (raw) => raw.n as number,
});
