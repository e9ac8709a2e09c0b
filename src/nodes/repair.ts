import type { Finding } from "../domain/finding.ts";

export type JsonRecord = Readonly<Record<string, unknown>>;

/** Of one field: all of it, or only these items of a list. */
type Failing = "whole" | ReadonlySet<number>;

/** The top-level fields that blocking findings speak of; items of a list apart, so that their neighbours are kept. */
export function failingFields(record: unknown, findings: readonly Finding[]): ReadonlyMap<string, Failing> {
  const failing = new Map<string, "whole" | Set<number>>();
  for (const { path, severity } of findings) {
    const [field = "", item] = path.split(".");
    if (severity !== "error" || field === "") continue;
    const inList = isRecord(record) && Array.isArray(record[field]) && item !== undefined;
    const index = inList ? Number(item) : Number.NaN;
    const known = failing.get(field);
    if (!Number.isInteger(index) || known === "whole") failing.set(field, "whole");
    else failing.set(field, (known ?? new Set<number>()).add(index));
  }
  return failing;
}

/**
 * The record with its failing fields taken from the repaired one; everything else stays as it was, whatever the
 * model did to it. A field that the repair left out stays too: a fault must not be repaired by hiding it.
 */
export function mergeRepaired(record: unknown, repaired: unknown, findings: readonly Finding[]): unknown {
  if (!isRecord(repaired)) return record;
  if (!isRecord(record)) return repaired;
  const fields = Object.entries(record);
  for (const [field, failing] of failingFields(record, findings)) {
    const next = Object.hasOwn(repaired, field) ? repaired[field] : undefined;
    if (next === undefined || next === null) continue;
    fields.push([field, failing === "whole" ? next : mergeItems(record[field], next, failing)]);
  }
  return Object.fromEntries(fields);
}

/** A list of another length cannot be told apart from one that dropped its failing items. */
function mergeItems(before: unknown, after: unknown, failing: ReadonlySet<number>): unknown {
  if (!Array.isArray(before) || !Array.isArray(after) || before.length !== after.length) return before;
  return before.map((item: unknown, at): unknown => (failing.has(at) ? after[at] : item));
}

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
