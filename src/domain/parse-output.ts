import type { z } from "zod";
import type { Finding } from "./finding.ts";

/** What could be read of an output, and a finding for each part that could not. */
export interface ParsedOutput<T> {
  record: T;
  findings: Finding[];
}

const issuesMax = 50;

/**
 * Parses an output whose schema has only optional fields. A malformed field becomes a finding and is left out, so the
 * rules still run over the others and a repair learns of every fault at once. Never throws; null is no record at all.
 */
export function parseOutput<T>(schema: z.ZodType<T>, output: unknown): ParsedOutput<T | null> {
  const whole = schema.safeParse(output);
  if (whole.success) return { record: whole.data, findings: [] };
  const findings = whole.error.issues.slice(0, issuesMax).map(schemaFinding);
  if (typeof output !== "object" || output === null || Array.isArray(output))
    return { record: null, findings };
  const malformed = new Set(whole.error.issues.map((issue) => issue.path[0]));
  const rest = Object.fromEntries(Object.entries(output).filter(([field]) => !malformed.has(field)));
  const parsed = schema.safeParse(rest);
  return { record: parsed.success ? parsed.data : null, findings };
}

/** Findings for the fields that must be there. A field with a schema finding is there, only malformed. */
export function missingFields(
  record: Readonly<Record<string, unknown>>,
  required: readonly string[],
  malformed: readonly Finding[],
): Finding[] {
  return required
    .filter((field) => isEmpty(record[field]))
    .filter((field) => !malformed.some(({ path }) => path === field || path.startsWith(`${field}.`)))
    .map((path) => ({
      path,
      code: "required_field_missing",
      severity: "error",
      message: `The required field ${path} is missing.`,
      repairHint: "Read the field from the document; leave it out only if the document does not state it.",
    }));
}

function isEmpty(field: unknown): boolean {
  return field === undefined || field === null || (Array.isArray(field) && field.length === 0);
}

function schemaFinding(issue: z.core.$ZodIssue): Finding {
  return {
    path: issue.path.map(String).join("."),
    code: "schema",
    severity: "error",
    message: issue.message,
  };
}
