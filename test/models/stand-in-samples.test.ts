import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { blocking, type Finding } from "../../src/domain/finding.ts";
import { answerTo } from "../../src/models/stand-in/answer.ts";
import { realEstate } from "../../validators/real-estate.ts";

interface Label {
  business_date: string;
  time_zone: string;
  source_record?: Record<string, unknown>;
  record: Record<string, unknown>;
  expected_findings: Pick<Finding, "path" | "code">[];
}

const folder = new URL("../../samples/purchase-agreements/", import.meta.url);
const labels = JSON.parse(readFileSync(new URL("labels.json", folder), "utf8")) as Record<string, Label>;
const files = Object.entries(labels);

/** Values only, names without their typography: what was read, not how it was quoted. */
function valuesOf(field: unknown): unknown {
  if (Array.isArray(field)) return field.map((one) => [one.kind, one.value]);
  const value = (field as { value: unknown } | null | undefined)?.value;
  return typeof value === "string" ? value.toLowerCase().replaceAll(/[^\p{L}\d]+/gu, " ") : value;
}

const fieldsOf = (record: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(record)
      .filter(
        ([name, field]) =>
          name !== "confidence" && field !== null && !(Array.isArray(field) && field.length === 0),
      )
      .map(([name, field]) => [name, valuesOf(field)]),
  );

function readWithRepair(file: string, label: Label) {
  const text = readFileSync(new URL(file, folder), "utf8");
  const documents = [{ id: file, text }];
  const context = {
    sources: [{ source_id: file, text }],
    businessDate: label.business_date,
    timeZone: label.time_zone,
    ...(label.source_record === undefined ? {} : { record: label.source_record }),
  };
  const read = (repair?: { fields: string[]; previous: Record<string, unknown> }) =>
    JSON.parse(answerTo({ task: "purchase_agreement", documents, repair })) as Record<string, unknown>;
  const first = read();
  const before = realEstate.validate(first, context);
  const fields = blocking(before).map(({ path }) => path.split(".", 1)[0] ?? "");
  const last = fields.length === 0 ? first : read({ fields, previous: first });
  return { first, last, before, after: realEstate.validate(last, context) };
}

describe("the sample agreements", () => {
  it.each(files)("%s is read right after at most one repair, and its own faults stay", (file, label) => {
    const { last, after } = readWithRepair(file, label);
    expect(fieldsOf(last)).toEqual(fieldsOf(label.record));
    const planted = label.expected_findings.map(({ path, code }) => `${code} ${path}`);
    const warnings = new Set(
      after.filter((f) => f.severity === "warn").map(({ path, code }) => `${code} ${path}`),
    );
    const found = blocking(after).map(({ path, code }) => `${code} ${path}`);
    expect(found.toSorted()).toEqual(planted.filter((one) => !warnings.has(one)).toSorted());
  });

  it("leave something to repair, and something that needs none", () => {
    const sound = files.filter(([, label]) => label.expected_findings.length === 0);
    const repaired = sound.filter(([file, label]) => blocking(readWithRepair(file, label).before).length > 0);
    expect(repaired.length).toBeGreaterThan(3);
    expect(sound.length - repaired.length).toBeGreaterThan(3);
  });
});
