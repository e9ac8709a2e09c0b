// Parts of the statements on long-term memory. An item is always `i`, its tenant $1.
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

/** All conditions on the value hold: $4, $5 and $6 are their fields, operators and operands. */
export const fulfils = `not exists (
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
               end) is not true)`;

export const conditionValues = (conditions: readonly Condition[]): unknown[] => [
  conditions.map(({ field }) => field),
  conditions.map(({ operator }) => operator),
  conditions.map(({ operand }) => operand),
];

export const refreshing = (from: string): string => `
  update holdfast.store_items i set expires_at = (select holdfast.now()) + i.ttl_minutes * interval '1 minute'
    from ${from} where i.expires_at > (select holdfast.now())`;
