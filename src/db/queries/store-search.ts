// Finding items of long-term memory: by their fields, by their places, by what is near.
import type { Condition } from "../../domain/store-item.ts";
import { query } from "../query.ts";
import {
  alive,
  below,
  belowValues,
  conditionValues,
  fulfils,
  type ItemRow,
  refreshing,
} from "./store-fragments.ts";

interface Below {
  tenant: string;
  prefix: readonly string[];
  conditions: readonly Condition[];
  limit: number;
}

interface Page {
  refreshTtl: boolean;
  bytesMax: number;
}

/** An item whose value is null when those of the page are larger than allowed, together. */
export type FoundItem = Omit<ItemRow, "value"> & { value: ItemRow["value"] | null };
const asFound = (raw: Record<string, unknown>): FoundItem => raw as unknown as FoundItem;

/**
 * The items of `page` in its order. One that somebody else is just writing or refreshing is not refreshed here: two searches that
 * wait for each other's rows would be a deadlock.
 */
const pageText = (page: string, { order, first }: { order: string; first: number }): string => `
with page as materialized (${page}), mine as materialized (
  select l.tenant, l.namespace, l.key from holdfast.store_items l join page p using (tenant, namespace, key)
   where $${first}::boolean and l.ttl_minutes is not null for no key update of l skip locked
), refreshed as (
  ${refreshing("mine m")} and (i.tenant, i.namespace, i.key) = (m.tenant, m.namespace, m.key)
), size as materialized (
  select sum(octet_length(value::text)) as bytes from page
)
select p.namespace, p.key, p.created_at, p.updated_at,
       case when size.bytes <= $${first + 1}::bigint then p.value end as value
  from page p, size
 order by ${order}`;

const item = "i.tenant, i.namespace, i.key, i.value, i.created_at, i.updated_at";

/** The item that changed last comes first. */
export const searchItems = query({
  name: "store.search",
  text: pageText(
    `select ${item} from holdfast.store_items i
      where ${below}
        and ${fulfils}
      order by i.updated_at desc, i.namespace, i.key limit $7::int offset $8::int`,
    { order: "p.updated_at desc, p.namespace, p.key", first: 9 },
  ),
  values: (p: Below & Page & { offset: number }) => [
    ...belowValues(p.tenant, p.prefix),
    ...conditionValues(p.conditions),
    p.limit,
    p.offset,
    p.refreshTtl,
    p.bytesMax,
  ],
  row: asFound,
});

/** The items at these places, in their order; those that are gone by now are left out. */
export const itemsAt = query({
  name: "store.items_at",
  text: pageText(
    `select ${item}, w.n
       from unnest($2::jsonb[], $3::text[]) with ordinality as w (namespace, key, n)
       join holdfast.store_items i
         on i.namespace = array(select jsonb_array_elements_text(w.namespace)) and i.key = w.key
      where i.tenant = $1 and ${alive}`,
    { order: "p.n", first: 4 },
  ),
  values: (p: { tenant: string; places: readonly { namespace: string[]; key: string }[] } & Page) => [
    p.tenant,
    p.places.map(({ namespace }) => JSON.stringify(namespace)),
    p.places.map(({ key }) => key),
    p.refreshTtl,
    p.bytesMax,
  ],
  row: asFound,
});

/** What the items below a prefix are found by, as far as it is of one model. */
export const vectorsBelow = query({
  name: "store.vectors_below",
  text: `
select v.namespace, v.key, v.vector from holdfast.store_items i join holdfast.store_vectors v using (tenant, namespace, key)
 where ${below}
   and ${fulfils}
   and v.model = $7
 limit $8::int`,
  values: (p: Below & { model: string }) => [
    ...belowValues(p.tenant, p.prefix),
    ...conditionValues(p.conditions),
    p.model,
    p.limit,
  ],
  row: (raw) => raw as unknown as { namespace: string[]; key: string; vector: Buffer },
});
