// Long-term memory. Every statement names the tenant; what a run writes hangs on its lease, in the same statement.
import { anyLabel, type Condition, type NamespaceMatch } from "../../domain/store-item.ts";
import { query } from "../query.ts";

export interface ItemRow {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}
const asItem = (raw: Record<string, unknown>): ItemRow => raw as unknown as ItemRow;

interface Place {
  tenant: string;
  namespace: readonly string[];
  key: string;
}
interface PutParams extends Place {
  /** JSON text. */
  value: string;
  ttlMinutes: number | null;
}
/** The run that writes, and the epoch of its lease. */
export interface Writer {
  runId: string;
  epoch: number;
}

const alive = "(i.expires_at is null or i.expires_at > (select holdfast.now()))";
const leaseOfRun = (from: number): string => `select epoch from holdfast.runs
   where run_id = $${from} and epoch = $${from + 1} and status = 'running' for share`;
const noLease = "select 0::bigint as epoch";

const putText = (lease: string): string => `
with lease as materialized (${lease}), put as (
  insert into holdfast.store_items as i (tenant, namespace, key, value, ttl_minutes, expires_at)
  select $1, $2::text[], $3, $4::jsonb, $5::float8, holdfast.now() + $5::float8 * interval '1 minute' from lease
  on conflict (tenant, namespace, key) do update
     set value = excluded.value, ttl_minutes = excluded.ttl_minutes, expires_at = excluded.expires_at,
         created_at = case when ${alive} then i.created_at else excluded.created_at end,
         updated_at = excluded.updated_at
)
select epoch from lease`;
const putValues = (p: PutParams): unknown[] => [p.tenant, p.namespace, p.key, p.value, p.ttlMinutes];

const deleteText = (lease: string): string => `
with lease as materialized (${lease}), gone as (
  delete from holdfast.store_items i using lease where i.tenant = $1 and i.namespace = $2::text[] and i.key = $3
)
select epoch from lease`;
const placeValues = (p: Place): unknown[] => [p.tenant, p.namespace, p.key];

const epochOf = (raw: Record<string, unknown>): number => raw.epoch as number;

export const putItem = query({
  name: "store.put",
  text: putText(noLease),
  values: putValues,
  row: epochOf,
});

/** Zero rows: the lease is gone and nothing was written. Safe to repeat. */
export const putItemAsRun = query({
  name: "store.put_as_run",
  text: putText(leaseOfRun(6)),
  values: (p: PutParams & Writer) => [...putValues(p), p.runId, p.epoch],
  row: epochOf,
});

export const deleteItem = query({
  name: "store.delete",
  text: deleteText(noLease),
  values: placeValues,
  row: epochOf,
});

/** Zero rows: the lease is gone and nothing was deleted. Safe to repeat. */
export const deleteItemAsRun = query({
  name: "store.delete_as_run",
  text: deleteText(leaseOfRun(4)),
  values: (p: Place & Writer) => [...placeValues(p), p.runId, p.epoch],
  row: epochOf,
});

const refreshing = (from: string): string => `
  update holdfast.store_items i set expires_at = (select holdfast.now()) + i.ttl_minutes * interval '1 minute'
    from ${from} where i.expires_at > (select holdfast.now())`;

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
  row: asItem,
});

/** Items of a tenant below a prefix of labels: $2 is the prefix, $3 what comes after everything below it. */
const below = `i.tenant = $1 and i.namespace[1:cardinality($2::text[])] = $2::text[]
     and i.namespace >= $2::text[] and ($3::text[] is null or i.namespace < $3::text[]) and ${alive}`;

const belowValues = (tenant: string, prefix: readonly string[]): unknown[] => {
  const last = prefix.at(-1);
  return [tenant, prefix, last === undefined ? null : [...prefix.slice(0, -1), `${last}\u0001`]];
};

interface SearchParams {
  tenant: string;
  prefix: readonly string[];
  conditions: readonly Condition[];
  limit: number;
  offset: number;
  refreshTtl: boolean;
  bytesMax: number;
}

/**
 * The item that changed last comes first. An item that somebody else is just writing or refreshing is not refreshed
 * here: two searches that wait for each other's rows would be a deadlock. Values are null when those of the page are larger than
 * allowed, together.
 */
export const searchItems = query({
  name: "store.search",
  text: `
with page as materialized (
  select i.tenant, i.namespace, i.key, i.value, i.created_at, i.updated_at from holdfast.store_items i
   where ${below}
     and not exists (
       select 1 from unnest($4::text[], $5::text[], $6::jsonb[]) as c (field, operator, operand),
              lateral (select i.value -> c.field as v) as f
        where (case c.operator
                 when '$eq' then f.v = c.operand
                 when 'contains' then f.v @> c.operand
                 when '$ne' then f.v is distinct from c.operand
                 when '$in' then exists (select 1 from jsonb_array_elements(c.operand) o where o = f.v)
                 when '$nin' then not exists (select 1 from jsonb_array_elements(c.operand) o where o = f.v)
                 when '$gt' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v > c.operand
                 when '$gte' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v >= c.operand
                 when '$lt' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v < c.operand
                 when '$lte' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v <= c.operand
               end) is not true)
   order by i.updated_at desc, i.namespace, i.key limit $7::int offset $8::int
), mine as materialized (
  select l.tenant, l.namespace, l.key from holdfast.store_items l join page p using (tenant, namespace, key)
   where $9::boolean and l.ttl_minutes is not null for no key update of l skip locked
), refreshed as (
  ${refreshing("mine m")} and (i.tenant, i.namespace, i.key) = (m.tenant, m.namespace, m.key)
), size as materialized (
  select sum(octet_length(value::text)) as bytes from page
)
select p.namespace, p.key, p.created_at, p.updated_at, case when size.bytes <= $10::bigint then p.value end as value
  from page p, size
 order by p.updated_at desc, p.namespace, p.key`,
  values: (p: SearchParams) => [
    ...belowValues(p.tenant, p.prefix),
    p.conditions.map(({ field }) => field),
    p.conditions.map(({ operator }) => operator),
    p.conditions.map(({ operand }) => operand),
    p.limit,
    p.offset,
    p.refreshTtl,
    p.bytesMax,
  ],
  row: (raw) => raw as unknown as Omit<ItemRow, "value"> & { value: ItemRow["value"] | null },
});

interface ListParams {
  tenant: string;
  matches: readonly NamespaceMatch[];
  /** Longer namespaces are cut to this many labels. */
  depthMax: number | null;
  limit: number;
  offset: number;
}

export const listNamespaces = query({
  name: "store.namespaces",
  text: `
select distinct i.namespace[1:coalesce($5::int, cardinality(i.namespace))] as namespace from holdfast.store_items i
 where ${below}
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
