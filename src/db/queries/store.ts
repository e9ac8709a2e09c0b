// Long-term memory. Every statement names the tenant; what a run writes hangs on its lease, in the same statement.
import type { AccessFilter } from "../../domain/access.ts";
import { anyLabel, type NamespaceMatch } from "../../domain/store-item.ts";
import { query } from "../query.ts";
import { accessValue } from "./access.ts";
import { alive, below, belowValues, type ItemRow, refreshing, seenBy } from "./store-fragments.ts";

interface Place {
  tenant: string;
  namespace: readonly string[];
  key: string;
}
interface PutParams extends Place {
  /** JSON text. */
  value: string;
  ttlMinutes: number | null;
  /** What the item is found by from now on, and by which model. */
  vectors: readonly { path: string; bytes: Buffer }[];
  model: string | null;
}
/** The run that writes, and the epoch of its lease. */
export interface Writer {
  runId: string;
  epoch: number;
}

const leaseOfRun = (from: number): string => `select epoch from holdfast.runs
   where run_id = $${from} and epoch = $${from + 1} and status = 'running' for share`;
const noLease = "select 0::bigint as epoch";

const putText = (lease: string, condition = "true"): string => `
with lease as materialized (${lease}), put as (
  insert into holdfast.store_items as i (tenant, namespace, key, value, ttl_minutes, expires_at)
  select $1, $2::text[], $3, $4::jsonb, $5::float8, holdfast.now() + $5::float8 * interval '1 minute' from lease
  on conflict (tenant, namespace, key) do update
     set value = excluded.value, ttl_minutes = excluded.ttl_minutes, expires_at = excluded.expires_at,
         created_at = case when ${alive} then i.created_at else excluded.created_at end,
         updated_at = excluded.updated_at
   where ${condition}
  returning tenant, namespace, key
), stale as (
  delete from holdfast.store_vectors v using put
   where (v.tenant, v.namespace, v.key) = (put.tenant, put.namespace, put.key) and v.path <> all ($6::text[])
), found_by as (
  insert into holdfast.store_vectors as v (tenant, namespace, key, path, model, vector)
  select put.tenant, put.namespace, put.key, n.path, $8, n.vector
    from put, unnest($6::text[], $7::bytea[]) as n (path, vector)
  on conflict (tenant, namespace, key, path) do update set model = excluded.model, vector = excluded.vector
)
select epoch from lease where exists (select 1 from put)`;
const putValues = (p: PutParams): unknown[] => [
  p.tenant,
  p.namespace,
  p.key,
  p.value,
  p.ttlMinutes,
  p.vectors.map(({ path }) => path),
  p.vectors.map(({ bytes }) => bytes),
  p.model,
];

const deleteText = (lease: string, condition = "true"): string => `
with lease as materialized (${lease}), gone as (
  delete from holdfast.store_items i using lease
   where i.tenant = $1 and i.namespace = $2::text[] and i.key = $3 and ${condition}
)
select epoch from lease`;
const placeValues = (p: Place): unknown[] => [p.tenant, p.namespace, p.key];

const epochOf = (raw: Record<string, unknown>): number => raw.epoch as number;

/** Zero rows: there is an item that the caller may not see. */
export const putItem = query({
  name: "store.put",
  text: putText(noLease, `(not ${alive} or ${seenBy("$9")})`),
  values: (p: PutParams & { access: AccessFilter | null }) => [...putValues(p), accessValue(p)],
  row: epochOf,
});

/** Zero rows: the lease is gone and nothing was written. Safe to repeat. */
export const putItemAsRun = query({
  name: "store.put_as_run",
  text: putText(leaseOfRun(9)),
  values: (p: PutParams & Writer) => [...putValues(p), p.runId, p.epoch],
  row: epochOf,
});

export const deleteItem = query({
  name: "store.delete",
  text: deleteText(noLease, seenBy("$4")),
  values: (p: Place & { access: AccessFilter | null }) => [...placeValues(p), accessValue(p)],
  row: epochOf,
});

/** Zero rows: the lease is gone and nothing was deleted. Safe to repeat. */
export const deleteItemAsRun = query({
  name: "store.delete_as_run",
  text: deleteText(leaseOfRun(4)),
  values: (p: Place & Writer) => [...placeValues(p), p.runId, p.epoch],
  row: epochOf,
});

/** With `refreshTtl` an item that has a time to live gets all of it again. */
export const getItem = query({
  name: "store.get",
  text: `
with place as (select $1::text as tenant, $2::text[] as namespace, $3::text as key where $4::boolean), refreshed as (
  ${refreshing("place p")} and i.tenant = p.tenant and i.namespace = p.namespace and i.key = p.key
)
select i.namespace, i.key, i.value, i.created_at, i.updated_at from holdfast.store_items i
 where i.tenant = $1 and i.namespace = $2::text[] and i.key = $3 and ${alive}`,
  values: (p: Place & { refreshTtl: boolean }) => [...placeValues(p), p.refreshTtl],
  row: (raw) => raw as unknown as ItemRow,
});

interface ListParams {
  tenant: string;
  matches: readonly NamespaceMatch[];
  /** Longer namespaces are cut to this many labels. */
  depthMax: number | null;
  limit: number;
  offset: number;
  /** What an item must contain for the caller to see it; graphs see all of their tenant. */
  access?: AccessFilter | null;
}

export const listNamespaces = query({
  name: "store.namespaces",
  text: `
select distinct i.namespace[1:coalesce($5::int, cardinality(i.namespace))] as namespace from holdfast.store_items i
 where ${below} and ${seenBy("$8")}
   and not exists (
     select 1 from jsonb_array_elements($4::jsonb) m, lateral (
         select jsonb_array_length(m -> 'path') as length,
                case m ->> 'matchType' when 'suffix' then cardinality(i.namespace) - jsonb_array_length(m -> 'path')
                     else 0 end as skipped) as at
      where at.length > cardinality(i.namespace)
         or exists (select 1 from jsonb_array_elements_text(m -> 'path') with ordinality as p (label, n)
                     where p.label <> '${anyLabel}' and p.label <> i.namespace[at.skipped + p.n::int]))
 order by 1 limit $6::int offset $7::int`,
  values: (p: ListParams) => [
    ...belowValues(p.tenant, literalPrefix(p.matches)),
    JSON.stringify(p.matches),
    p.depthMax,
    p.limit,
    p.offset,
    accessValue({ access: p.access ?? null }),
  ],
  row: (raw) => raw.namespace as string[],
});

/** What the first prefix says before its first `*`: the range of the index to look at. */
function literalPrefix(matches: readonly NamespaceMatch[]): readonly string[] {
  const path = matches.find(({ matchType }) => matchType === "prefix")?.path ?? [];
  const any = path.indexOf(anyLabel);
  return any === -1 ? path : path.slice(0, any);
}

export const sweepItems = query({
  name: "store.sweep",
  text: `
delete from holdfast.store_items where ctid in (
  select ctid from holdfast.store_items where expires_at <= (select holdfast.now())
   order by expires_at limit $1::int for update skip locked)
returning 1`,
  values: (p: { limit: number }) => [p.limit],
  row: () => true,
});
