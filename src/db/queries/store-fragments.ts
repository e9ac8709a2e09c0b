// Parts of the statements on long-term memory. An item is always `i`, its tenant $1.
import type { AccessFilter } from "../../domain/access.ts";
import type { Condition } from "../../domain/store-item.ts";

export interface ItemRow {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}

export const alive = "(i.expires_at is null or i.expires_at > (select holdfast.now()))";

/** Items of a tenant below a prefix of labels: $2 is the prefix, $3 what comes after everything below it. */
export const below = `i.tenant = $1 and i.namespace[1:cardinality($2::text[])] = $2::text[]
     and i.namespace >= $2::text[] and ($3::text[] is null or i.namespace < $3::text[]) and ${alive}`;

export const belowValues = (tenant: string, prefix: readonly string[]): unknown[] => {
  const last = prefix.at(-1);
  return [tenant, prefix, last === undefined ? null : [...prefix.slice(0, -1), `${last}\u0001`]];
};

const place = "jsonb_build_object('namespace', i.namespace, 'key', i.key)";

/** Whether a filter of the program's auth lets the item pass: it is about the fields of the value, beside the item's place. */
export const seenBy = (access: string): string =>
  `(${access}::jsonb is null or (i.value || ${place}) @> ${access}::jsonb)`;

/** All conditions on the value hold, and those of `accessConditions`: $4, $5 and $6 are their fields, operators and operands. */
export const fulfils = `not exists (
       select 1 from unnest($4::text[], $5::text[], $6::jsonb[]) as c (field, operator, operand),
              lateral (select case when c.operator like 'place %' then ${place} -> c.field else i.value -> c.field end as v) as f
        where (case replace(c.operator, 'place ', '')
                 when '$eq' then f.v = c.operand
                 when 'contains' then f.v @> c.operand
                 when '$ne' then f.v is distinct from c.operand
                 when '$in' then exists (select 1 from jsonb_array_elements(c.operand) o where o = f.v)
                 when '$nin' then not exists (select 1 from jsonb_array_elements(c.operand) o where o = f.v)
                 when '$gt' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v > c.operand
                 when '$gte' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v >= c.operand
                 when '$lt' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v < c.operand
                 when '$lte' then jsonb_typeof(f.v) = jsonb_typeof(c.operand) and f.v <= c.operand
               end) is not true)`;

const ofPlace: readonly string[] = ["namespace", "key"];

/** The same filter as conditions, for a search. */
export const accessConditions = (access: AccessFilter | null): Condition[] =>
  Object.entries(access ?? {}).map(([field, wanted]) => {
    const operator = Array.isArray(wanted) ? "contains" : "$eq";
    const operand = JSON.stringify(wanted);
    return { field, operator: ofPlace.includes(field) ? `place ${operator}` : operator, operand };
  });

export const conditionValues = (conditions: readonly Condition[]): unknown[] => [
  conditions.map(({ field }) => field),
  conditions.map(({ operator }) => operator),
  conditions.map(({ operand }) => operand),
];

export const refreshing = (from: string): string => `
  update holdfast.store_items i set expires_at = (select holdfast.now()) + i.ttl_minutes * interval '1 minute'
    from ${from} where i.expires_at > (select holdfast.now())`;
