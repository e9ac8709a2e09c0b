import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeContracts } from "../../scripts/make-contracts.ts";
import { makePurchaseAgreements } from "../../scripts/make-purchase-agreements.ts";
import { commercialContract } from "../../validators/commercial-contract.ts";
import { type PurchaseAgreement, realEstate } from "../../validators/real-estate.ts";

const directory = join(import.meta.dirname, "../../samples/purchase-agreements");
const samples = makePurchaseAgreements(1);

const placed = (findings: readonly { path: string; code: string }[]): string[] =>
  findings.map(({ path, code }) => `${path} ${code}`).sort();

function validate(
  sample: (typeof samples)[number],
  record: PurchaseAgreement = sample.label.record,
): string[] {
  const { file, text, label } = sample;
  const findings = realEstate.validate(record, {
    sources: [{ source_id: file, text }],
    businessDate: label.business_date,
    timeZone: label.time_zone,
    ...(label.source_record ? { record: label.source_record } : {}),
  });
  return placed(findings);
}

describe("the sample purchase agreements", () => {
  it("are the ones their script writes", () => {
    const files = readdirSync(directory).filter((file) => file.endsWith(".txt"));
    expect(files.sort()).toEqual(samples.map(({ file }) => file));
    for (const { file, text } of samples)
      expect(readFileSync(join(directory, file), "utf8"), file).toBe(text);
    const labels = JSON.parse(readFileSync(join(directory, "labels.json"), "utf8"));
    expect(labels).toEqual(
      JSON.parse(JSON.stringify(Object.fromEntries(samples.map(({ file, label }) => [file, label])))),
    );
  });

  it.each(samples.map((sample) => [sample.file, sample] as const))(
    "%s gives exactly the findings of its label",
    (_file, sample) => {
      expect(validate(sample)).toEqual(placed(sample.label.expected_findings));
    },
  );

  it("are between 40 and 120 lines long", () => {
    for (const { file, text } of samples) {
      const lines = text.split("\n").length;
      expect(lines, file).toBeGreaterThan(40);
      expect(lines, file).toBeLessThan(121);
    }
  });
});

describe("an extraction that misreads a sound sample", () => {
  const sound = samples.filter(({ label }) => label.expected_findings.length === 0);

  it.each(sound.map((sample) => [sample.file, sample] as const))("%s", (_file, sample) => {
    const record: PurchaseAgreement = sample.label.record;
    const { purchase_price, closing_date, buyer_name } = record;
    if (!purchase_price || !closing_date || !buyer_name) throw new Error("a sound sample has these");
    const dearer = { ...purchase_price.value, minor_units: purchase_price.value.minor_units + 100 };
    const price = { ...purchase_price, value: dearer };
    expect(validate(sample, { ...record, purchase_price: price })).toContain(
      "purchase_price.value value_differs_from_quote",
    );
    const later = { ...closing_date, value: "2027-01-31" };
    expect(validate(sample, { ...record, closing_date: later })).toContain(
      "closing_date.value value_differs_from_quote",
    );
    const invented = { ...buyer_name, quote: "Buyer: Nobody At All" };
    expect(validate(sample, { ...record, buyer_name: invented })).toContain(
      "buyer_name.quote quote_not_in_source",
    );
  });
});

describe("made commercial contracts", () => {
  it("give exactly the findings of their labels", () => {
    for (const { name, text, label } of makeContracts(100, 1)) {
      const findings = commercialContract.validate(label.record, {
        sources: [{ source_id: name, text }],
        businessDate: "2026-01-01",
        timeZone: "UTC",
      });
      expect(placed(findings), name).toEqual(placed(label.expected_findings));
      expect(text.split("\n").length, name).toBeLessThan(41);
    }
  });

  it("are the same for the same seed and others for another", () => {
    expect(makeContracts(3, 7)).toEqual(makeContracts(3, 7));
    expect(makeContracts(3, 7)).not.toEqual(makeContracts(3, 8));
  });
});
