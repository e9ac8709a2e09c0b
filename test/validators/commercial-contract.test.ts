import { describe, expect, it } from "vitest";
import { blocking, type Finding } from "../../src/domain/finding.ts";
import { type CommercialContract, commercialContract } from "../../validators/commercial-contract.ts";

const text = `SUPPLY AGREEMENT between Acme Inc. and Bolt GmbH, dated 3 May 2024.
Effective from May 10, 2024 for two years from the Effective Date. It ends on May 9, 2026.
The laws of the State of New York govern.`;
const read = (value: string, quote: string) => ({ value, quote, source_id: "doc" });
const sound: CommercialContract = {
  document_name: read("Supply Agreement", "SUPPLY AGREEMENT"),
  parties: [read("Acme Inc.", "Acme Inc."), read("Bolt GmbH", "Bolt GmbH")],
  agreement_date: read("2024-05-03", "dated 3 May 2024"),
  effective_date: read("2024-05-10", "Effective from May 10, 2024"),
  expiration_date: read("2026-05-09", "It ends on May 9, 2026"),
  governing_law: read("New York", "The laws of the State of New York govern"),
};
const validate = (output: unknown): Finding[] =>
  commercialContract.validate(output as CommercialContract, {
    sources: [{ source_id: "doc", text }],
    businessDate: "2026-01-01",
    timeZone: "UTC",
  });
const codes = (findings: readonly Finding[]): string[] =>
  findings.map(({ path, code, severity }) => `${path} ${code} ${severity}`);

describe("the commercial-contract validator", () => {
  it("finds nothing wrong with a sound contract", () => {
    expect(validate(sound)).toEqual([]);
  });

  it("needs a name and two different parties, and nothing else", () => {
    expect(codes(validate({}))).toEqual([
      "document_name required_field_missing error",
      "parties required_field_missing error",
    ]);
    const twice = [read("Acme Inc.", "Acme Inc."), read("ACME INC", "Acme Inc.")];
    expect(codes(validate({ ...sound, parties: twice }))).toEqual(["parties required_field_missing error"]);
    expect(validate({ document_name: sound.document_name, parties: sound.parties })).toEqual([]);
  });

  it("holds each value to its quote", () => {
    const wrong = {
      ...sound,
      agreement_date: read("2024-05-04", "dated 3 May 2024"),
      governing_law: read("Delaware", "The laws of the State of New York govern"),
      parties: [...(sound.parties ?? []), read("Cog Ltd.", "Cog Ltd.")],
    };
    expect(codes(validate(wrong))).toEqual([
      "parties.2.quote quote_not_in_source error",
      "governing_law.value value_differs_from_quote error",
      "agreement_date.value value_differs_from_quote error",
    ]);
  });

  it("lets a date be computed from a term, with a warning, but not the agreement date", () => {
    const term = "two years from the Effective Date";
    const computed = validate({ ...sound, expiration_date: read("2026-05-10", term) });
    expect(codes(computed)).toEqual(["expiration_date.value value_not_in_quote warn"]);
    expect(blocking(validate({ ...sound, agreement_date: read("2024-05-03", term) }))).toHaveLength(1);
  });

  it("warns of an effective date before the agreement, and refuses an end before the beginning", () => {
    const early = {
      ...sound,
      agreement_date: read("2024-05-10", "May 10, 2024"),
      effective_date: read("2024-05-03", "3 May 2024"),
    };
    expect(codes(validate(early))).toEqual(["effective_date.value date_order warn"]);
    const ended = { ...sound, expiration_date: read("2024-05-03", "dated 3 May 2024") };
    expect(codes(validate(ended))).toEqual(["expiration_date.value date_order error"]);
  });

  it("answers malformed output with schema findings", () => {
    expect(codes(validate("no"))).toEqual([" schema error"]);
    expect(codes(validate({ ...sound, parties: [{ value: "Acme" }] }))).toEqual([
      "parties.0.quote schema error",
      "parties.0.source_id schema error",
    ]);
  });
});
