import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Finding, ValidationContext } from "../../src/domain/finding.ts";
import { blocking } from "../../src/domain/finding.ts";
import { type PurchaseAgreement, realEstate } from "../../validators/real-estate.ts";

const text = `Buyer: Ann Lee
Seller: Bo Kim
Property: 12 Elm Street, Fernhollow
Offer of March 2, 2026.
The price is Five Hundred Thousand and 00/100 Dollars ($500,000.00). Earnest money: $10,000.
Inspection ends on March 12, 2026. Closing on April 20, 2026.`;
const context: ValidationContext = {
  sources: [{ source_id: "doc", text }],
  businessDate: "2026-03-05",
  timeZone: "America/New_York",
};
const read = <V>(value: V, quote: string) => ({ value, quote, source_id: "doc" });
const usd = (dollars: number) => ({ minor_units: dollars * 100, currency: "USD" });
const sound: PurchaseAgreement = {
  buyer_name: read("Ann Lee", "Buyer: Ann Lee"),
  seller_name: read("Bo Kim", "Seller: Bo Kim"),
  property_address: read("12 Elm Street, Fernhollow", "Property: 12 Elm Street, Fernhollow"),
  purchase_price: read(usd(500_000), "Five Hundred Thousand and 00/100 Dollars ($500,000.00)"),
  earnest_money: read(usd(10_000), "Earnest money: $10,000"),
  offer_date: read("2026-03-02", "Offer of March 2, 2026"),
  contingency_dates: [{ kind: "inspection", ...read("2026-03-12", "Inspection ends on March 12, 2026") }],
  closing_date: read("2026-04-20", "Closing on April 20, 2026"),
};

/** Malformed outputs are what a model may send, so they enter untyped. */
const validate = (output: unknown, changed: Partial<ValidationContext> = {}): Finding[] =>
  realEstate.validate(output as PurchaseAgreement, { ...context, ...changed });
const codes = (findings: readonly Finding[]): string[] => findings.map(({ path, code }) => `${path} ${code}`);

describe("the real-estate validator", () => {
  it("finds nothing wrong with a sound agreement", () => {
    expect(validate(sound)).toEqual([]);
  });

  it.each([
    "buyer_name",
    "seller_name",
    "purchase_price",
    "offer_date",
    "contingency_dates",
    "closing_date",
  ] as const)("wants %s", (field) => {
    for (const absent of [undefined, null])
      expect(codes(validate({ ...sound, [field]: absent }))).toEqual([`${field} required_field_missing`]);
  });

  it("only warns when there is no address", () => {
    const findings = validate({ ...sound, property_address: null });
    expect(codes(findings)).toEqual(["property_address optional_field_missing"]);
    expect(blocking(findings)).toEqual([]);
  });

  it("takes an agreement without earnest money", () => {
    expect(validate({ ...sound, earnest_money: undefined })).toEqual([]);
  });

  it("says what is malformed, and still checks the rest", () => {
    const findings = validate({
      ...sound,
      purchase_price: "500000",
      closing_date: read("2026-04-21", "Closing on April 20, 2026"),
    });
    expect(codes(findings)).toEqual(["purchase_price schema", "closing_date.value value_differs_from_quote"]);
  });

  it.each([
    ["a date that does not exist", { closing_date: read("2026-02-30", "x") }, "closing_date.value schema"],
    [
      "a fraction of a cent",
      { purchase_price: read({ minor_units: 1.5, currency: "USD" }, "x") },
      "purchase_price.value.minor_units schema",
    ],
    [
      "an unsafe amount",
      { purchase_price: read({ minor_units: 2 ** 60, currency: "USD" }, "x") },
      "purchase_price.value.minor_units schema",
    ],
    ["a price of nothing", { purchase_price: read(usd(0), "x") }, "purchase_price.value.minor_units schema"],
    ["an empty quote", { buyer_name: read("Ann Lee", "") }, "buyer_name.quote schema"],
    ["a blank name", { buyer_name: read("  ", "Buyer") }, "buyer_name.value schema"],
  ])("refuses %s", (_what, change, expected) => {
    expect(codes(validate({ ...sound, ...change }))).toEqual([expected]);
  });

  it.each([null, undefined, 7, "text", [], [sound]])(
    "answers %j with a schema finding at the root",
    (output) => {
      expect(codes(validate(output))).toEqual([" schema"]);
    },
  );

  it("never throws, whatever the output is", () => {
    const fields = fc.constantFrom(...Object.keys(sound), "value", "quote", "source_id", "__proto__", "kind");
    const leaf = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom("doc", "Ann Lee", "2026-03-02", "$1", -1, Number.NaN),
    );
    const output = fc.dictionary(
      fields,
      fc.oneof(leaf, fc.dictionary(fields, leaf), fc.array(fc.dictionary(fields, leaf))),
    );
    fc.assert(
      fc.property(fc.oneof(output, fc.anything()), (value) => {
        expect(Array.isArray(validate(value))).toBe(true);
      }),
    );
  });

  it("compares the words of a price with its digits, also when only the digits were quoted", () => {
    const wrong = text.replace("Five Hundred", "Four Hundred");
    const sources = [{ source_id: "doc", text: wrong }];
    for (const quote of ["Four Hundred Thousand and 00/100 Dollars ($500,000.00)", "$500,000.00"]) {
      const findings = validate({ ...sound, purchase_price: read(usd(500_000), quote) }, { sources });
      expect(codes(findings)).toEqual(["purchase_price.value price_words_differ"]);
      expect(findings[0]?.message).toContain("USD 400,000.00");
    }
  });

  it("counts a contingency as past from the day after it, by the business date", () => {
    expect(validate(sound, { businessDate: "2026-03-12" })).toEqual([]);
    expect(codes(validate(sound, { businessDate: "2026-03-13" }))).toEqual([
      "contingency_dates.0.value contingency_past",
    ]);
  });

  it("wants each contingency after the offer and before the closing, not on the same day", () => {
    const on = (date: string, quote: string): string[] =>
      codes(
        validate(
          { ...sound, contingency_dates: [{ kind: "inspection", ...read(date, quote) }] },
          { businessDate: "2026-01-01" },
        ),
      );
    expect(on("2026-03-02", "Offer of March 2, 2026")).toEqual(["contingency_dates.0.value date_order"]);
    expect(on("2026-04-20", "Closing on April 20, 2026")).toEqual(["contingency_dates.0.value date_order"]);
  });

  it("does not pass over the deadlines when the business date is no date", () => {
    expect(codes(validate(sound, { businessDate: "today" }))).toEqual([" business_date_invalid"]);
  });

  it("wants the earnest money below the price, in the same currency", () => {
    const sources = [{ source_id: "doc", text: text.replace("$10,000.", "$500,000.") }];
    const equal = { ...sound, earnest_money: read(usd(500_000), "Earnest money: $500,000") };
    expect(codes(validate(equal, { sources }))).toEqual(["earnest_money.value earnest_money_too_high"]);
  });

  it("points its findings at the document", () => {
    const [finding] = validate(sound, { businessDate: "2026-03-13" });
    const { start = 0, end = 0 } = finding?.evidence ?? {};
    expect(text.slice(start, end)).toBe("Inspection ends on March 12, 2026");
  });
});

describe("the cross-check with a source record", () => {
  const check = (record: Record<string, unknown>): string[] => codes(validate(sound, { record }));

  it("takes a record that agrees, in names of another case and punctuation", () => {
    const buyer_name = "LEE, ann".split(", ").reverse().join(" ");
    expect(
      check({ purchase_price: 50_000_000, buyer_name, seller_name: "Bo  Kim.", offer_date: "2026-03-02" }),
    ).toEqual([]);
    expect(check({ purchase_price: usd(500_000), escrow_number: "E-77" })).toEqual([]);
  });

  it("reports each field that differs", () => {
    const record = {
      purchase_price: 50_000_001,
      buyer_name: "Cy Doe",
      seller_name: "Ann Lee",
      closing_date: "2026-04-21",
    };
    expect(check(record)).toEqual([
      "buyer_name.value record_mismatch",
      "seller_name.value record_mismatch",
      "closing_date.value record_mismatch",
      "purchase_price.value record_mismatch",
    ]);
    expect(check({ purchase_price: { minor_units: 50_000_000, currency: "EUR" } })).toEqual([
      "purchase_price.value record_mismatch",
    ]);
  });

  it("warns of a record that cannot be compared, and compares the rest of it", () => {
    const findings = validate(sound, { record: { purchase_price: "500000", buyer_name: "Cy Doe" } });
    expect(codes(findings)).toEqual(["purchase_price record_unreadable", "buyer_name.value record_mismatch"]);
    expect(blocking(findings)).toHaveLength(1);
  });
});
