import type { AccessFilter } from "../../domain/access.ts";
import { minutesOf, type ThreadTtl } from "../../domain/lifetimes.ts";
import { query } from "../query.ts";
import { accessValue } from "./access.ts";
import { asFound, type Page, pageText, pageValues } from "./page.ts";
import { whole } from "./parts.ts";
import { asThread, asThreadHead, threadColumns, threadHeadColumns } from "./rows.ts";

interface ThreadKey {
  threadId: string;
  tenant: string;
}
const key = (p: ThreadKey): unknown[] => [p.threadId, p.tenant];

export const getThread = query({
  name: "thread.get",
  text: `select ${threadColumns("t")} from holdfast.threads t where thread_id = $1 and tenant = $2`,
  values: key,
  row: asThread,
});

/** Without its values, which may be long. */
export const getThreadHead = query({
  name: "thread.head",
  prepared: true,
  text: `select ${threadHeadColumns("t")} from holdfast.threads t where thread_id = $1 and tenant = $2`,
  values: key,
  row: asThreadHead,
});

export const sortColumns = ["thread_id", "status", "created_at", "updated_at", "state_updated_at"] as const;

export interface ThreadFilter {
  tenant: string;
  metadata: unknown;
  status: string | null;
  /** Containment in the values; those that jsonb cannot hold are not found. */
  values: unknown;
  ids: string[] | null;
  /** What the metadata must contain for the caller to see it. */
  access: AccessFilter | null;
}
export type ThreadSearch = ThreadFilter & Page<(typeof sortColumns)[number]>;

const where = (access: string): string => `
 where tenant = $1
   and ($2::jsonb is null or metadata @> $2::jsonb)
   and ($3::text is null or status = $3)
   and ($4::jsonb is null or holdfast.searchable(${whole("thread_id", '"values"')}) @> $4::jsonb)
   and ($5::uuid[] is null or thread_id = any($5))
   and (${access}::jsonb is null or metadata @> ${access}::jsonb)`;
const json = (value: unknown): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value);
const filterValues = (p: ThreadFilter): unknown[] => [
  p.tenant,
  json(p.metadata),
  p.status,
  json(p.values),
  p.ids,
];

export const searchThreads = query({
  name: "thread.search",
  text: pageText({
    from: `holdfast.threads ${where("$11")}`,
    sortColumns,
    id: "thread_id",
    shown: threadColumns("p"),
    sized: ["interrupts", "config", "metadata"],
    inParts: ['"values"'],
    first: 6,
  }),
  values: (p: ThreadSearch) => [...filterValues(p), ...pageValues(p), accessValue(p)],
  row: asFound("thread_id", asThread),
});

export const countThreads = query({
  name: "thread.count",
  text: `select count(*) as n from holdfast.threads ${where("$6")}`,
  values: (p: ThreadFilter) => [...filterValues(p), accessValue(p)],
  row: (raw) => raw.n as number,
});

/** Merges metadata key by key. A time to live stays as it is, is set, or is removed. */
export const patchThread = query({
  name: "thread.patch",
  text: `
update holdfast.threads t set metadata = metadata || $3::jsonb, updated_at = holdfast.now(),
       ttl_minutes = case when $4::boolean then $5::float8 else ttl_minutes end,
       keep_latest_minutes = case when $4::boolean then $6::float8 else keep_latest_minutes end
 where thread_id = $1 and tenant = $2 returning ${threadColumns("t")}`,
  values: (p: ThreadKey & { metadata: unknown; ttl?: ThreadTtl | null | undefined }) => [
    p.threadId,
    p.tenant,
    JSON.stringify(p.metadata),
    p.ttl !== undefined,
    minutesOf(p.ttl, "delete"),
    minutesOf(p.ttl, "keep_latest"),
  ],
  row: asThread,
});

/** All runs of a thread that is to be deleted, against their holders; the thread is locked. */
export const lockRuns = query({
  name: "thread.lock_runs",
  text: "select run_id from holdfast.runs where thread_id = $1 order by run_id for update",
  values: (p: { threadId: string }) => [p.threadId],
  row: (raw) => raw.run_id as string,
});

/** Effects with a business key stay, without their thread: the same invoice is not paid again from another one. */
export const deleteThread = query({
  name: "thread.delete",
  text: `
with forgotten as (
  delete from holdfast.effects where thread_id = $1 and tenant = $2 and business_key is null
), parts as (
  delete from holdfast.parts where thread_id = (select thread_id from holdfast.threads where thread_id = $1 and tenant = $2)
)
delete from holdfast.threads where thread_id = $1 and tenant = $2 returning thread_id`,
  values: key,
  row: (raw) => raw.thread_id as string,
});

/** Threads that ran last with this assistant. */
export const threadsOfAssistant = query({
  name: "thread.of_assistant",
  text: `
select thread_id from holdfast.threads
 where tenant = $1 and metadata @> jsonb_build_object('assistant_id', $2::text)
   and ($4::jsonb is null or metadata @> $4::jsonb)
 order by thread_id limit $3`,
  values: (p: { tenant: string; assistantId: string; limit: number; access: AccessFilter | null }) => [
    p.tenant,
    p.assistantId,
    p.limit,
    accessValue(p),
  ],
  row: (raw) => raw.thread_id as string,
});

/** An API write takes the next epoch under the thread's lock. */
export const takeEpoch = query({
  name: "thread.take_epoch",
  text: `update holdfast.threads set epoch = epoch + 1, updated_at = holdfast.now() where thread_id = $1 returning epoch`,
  values: (p: { threadId: string }) => [p.threadId],
  row: (raw) => raw.epoch as number,
});

export const pruneIdempotencyKeys = query({
  name: "idempotency.prune",
  text: `
delete from holdfast.idempotency_keys where ctid in (
  select ctid from holdfast.idempotency_keys where created_at < holdfast.now() - $1 * interval '1 second' limit $2)
returning key`,
  values: (p: { olderThanSeconds: number; limit: number }) => [p.olderThanSeconds, p.limit],
  row: (raw) => raw.key as string,
});
