import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareName, dateFields, moneyField, nameField } from "../../src/domain/comparison.ts";
import { foldText } from "../../src/domain/fold.ts";
import { checkGrounding, findQuote, indexSource, indexSources } from "../../src/domain/grounding.ts";

const index = (text: string) => indexSource({ source_id: "doc", text });

function quoted(text: string, quote: string): string | null {
  const found = findQuote(index(text), quote);
  return found && text.slice(found.start, found.end);
}

describe("findQuote", () => {
  it.each([
    ["a line break", "made by\r\n    and between", "made by and between"],
    ["non-breaking spaces", "due 5\u00a0January\u202f2026", "5 January 2026"],
    ["curly quotation marks", "(the “Seller’s Agent”)", `the "Seller's Agent"`],
    ["dashes", "ten – twenty — thirty--forty", "ten - twenty - thirty-forty"],
    ["soft hyphens and zero-width spaces", "pur\u00adchase\u200b price", "purchase price"],
    ["ligatures", "the o\ufb03ce of\u2026", "the office of..."],
    ["full-width digits", "No. １２３", "No. 123"],
    ["composed and decomposed letters", "Zoe\u0308 Fjo\u0308rtoft", "Zoë Fjörtoft"],
    ["decomposed quotes of composed letters", "Zoë Fjörtoft", "Zoe\u0308 Fjo\u0308rtoft"],
  ])("sees through %s", (_what, text, quote) => {
    const found = quoted(text, quote);
    expect(found).not.toBeNull();
    expect(foldText(found ?? "").text).toBe(foldText(quote).text);
  });

  it.each([
    ["another case", "the Purchase Price", "the purchase price"],
    ["another number", "$500,000.00", "$500,001.00"],
    ["another word order", "Seller and Buyer", "Buyer and Seller"],
    ["an empty quote", "anything", " \n "],
    ["a letter without its accent", "José", "Jose"],
    ["a letter without its combining accent", "Jose\u0301", "Jose"],
    ["half a ligature", "o\ufb03ce", "of"],
  ])("does not accept %s", (_what, text, quote) => {
    expect(quoted(text, quote)).toBeNull();
  });

  it("finds a quote that leaves words out, and says so", () => {
    const text = "The price is payable in cash. It is due on May 5, 2026 without notice.";
    for (const gap of ["<omitted>", " ... ", " […] ", "[...]"])
      expect(findQuote(index(text), `The price${gap}due on May 5, 2026`)).toMatchObject({
        start: 0,
        elided: true,
      });
    expect(findQuote(index(text), "The price ... due on May 6, 2026")).toBeNull();
  });

  it("gives offsets into the original, which fold to the quote", () => {
    const pieces = fc.constantFrom(
      "a",
      "é",
      "e\u0301",
      " ",
      "\n",
      "\u00a0",
      "–",
      "-",
      "“",
      "'",
      "\u00ad",
      "ﬁ",
      "１",
      "𝒳",
      "가",
      "\u0300",
      "`",
      "…",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 40 }), fc.nat(40), fc.nat(40), (parts, from, length) => {
        const text = parts.join("");
        const part = parts.slice(from, from + length).join("");
        const needle = foldText(part).text.trim();
        const found = findQuote(index(text), part);
        if (found) expect(foldText(text.slice(found.start, found.end)).text.trim()).toBe(needle);
      }),
    );
  });

  it("finds every passage of a text that is cut between words, however it is rendered", () => {
    const words = fc.array(fc.constantFrom("the", "Café", "“price”", "ﬁne", "don’t", "3–4", "£5"), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(words, fc.nat(19), fc.constantFrom(" ", "\n", "  \t"), (all, from, gap) => {
        const part = all.slice(from % all.length);
        expect(findQuote(index(all.join(gap)), part.join(" ").normalize("NFKC"))).not.toBeNull();
      }),
    );
  });

  it("folds a text once and for all: folding it again changes nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
        const once = foldText(text).text;
        expect(foldText(once).text).toBe(once);
      }),
    );
  });
});

describe("checkGrounding", () => {
  const text = "Buyer: Ann Lee. Price: $500,000. Closing on May 5, 2026. Notice on 03/04/2026.";
  const indexes = indexSources([{ source_id: "doc", text }]);
  const read = <V>(value: V, quote: string, source_id = "doc") => ({ value, quote, source_id });
  const dateField = dateFields(indexes);
  const codes = (...fields: Parameters<typeof checkGrounding>[0]) =>
    checkGrounding(fields, indexes).map(({ path, code, severity }) => `${path} ${code} ${severity}`);

  it("finds nothing wrong with values that are what their quotes say", () => {
    expect(
      codes(
        nameField("buyer", read("ann lee", "Buyer: Ann Lee")),
        moneyField("price", read({ minor_units: 50_000_000, currency: "USD" }, "Price: $500,000")),
        dateField({ path: "closing", extracted: read("2026-05-05", "May 5, 2026") }),
      ),
    ).toEqual([]);
  });

  it("points at the words that say something else", () => {
    const field = dateField({ path: "closing", extracted: read("2026-05-06", "Closing on May 5, 2026") });
    const [finding] = checkGrounding([field], indexes);
    expect(finding).toMatchObject({
      path: "closing.value",
      code: "value_differs_from_quote",
      severity: "error",
    });
    const { start = 0, end = 0 } = finding?.evidence ?? {};
    expect(text.slice(start, end)).toBe("Closing on May 5, 2026");
    expect(finding?.message).toContain("2026-05-05");
  });

  it("reports quotes that do not stand in the source, and sources that do not exist", () => {
    expect(codes(nameField("buyer", read("Bob", "Buyer: Bob")))).toEqual([
      "buyer.quote quote_not_in_source error",
    ]);
    expect(codes(nameField("buyer", read("Ann Lee", "Ann Lee", "other")))).toEqual([
      "buyer.source_id source_unknown error",
    ]);
  });

  it("reports a quote without the value, as a warning where the field says so", () => {
    const extracted = read("2026-05-05", "Closing on");
    expect(codes(dateField({ path: "closing", extracted }))).toEqual([
      "closing.value value_not_in_quote error",
    ]);
    expect(codes(dateField({ path: "closing", extracted, unreadable: "warn" }))).toEqual([
      "closing.value value_not_in_quote warn",
    ]);
  });

  it("warns of a quote that states more than this value", () => {
    const extracted = read("2026-05-05", "Closing on May 5, 2026. Notice on 03/04/2026");
    expect(codes(dateField({ path: "closing", extracted }))).toEqual(["closing.value ambiguous_date error"]);
    const price = read({ minor_units: 50_000_000, currency: "USD" }, "$500,000 or $600,000");
    const both = indexSources([{ source_id: "doc", text: "$500,000 or $600,000" }]);
    expect(checkGrounding([moneyField("price", price)], both)).toMatchObject([
      { code: "several_values_in_quote", severity: "warn" },
    ]);
  });

  it("blocks a date with two readings until a record settles it, and then holds the value to it", () => {
    const field = (value: string, recorded?: string) =>
      dateField({ path: "notice", extracted: read(value, "03/04/2026"), recorded });
    expect(codes(field("2026-03-04"))).toEqual(["notice.value ambiguous_date error"]);
    expect(codes(field("2026-04-03"))).toEqual(["notice.value ambiguous_date error"]);
    expect(codes(field("2026-03-04", "2026-03-04"))).toEqual([]);
    expect(codes(field("2026-04-03", "2026-03-04"))).toEqual(["notice.value value_differs_from_quote error"]);
    expect(codes(field("2026-03-05", "2026-03-05"))).toEqual(["notice.value value_differs_from_quote error"]);
  });

  it("keeps a date open when the record and the document disagree on it", () => {
    const source = indexSources([{ source_id: "doc", text: "Signed 25/12/2025. Notice on 03/04/2026." }]);
    const field = (recorded?: string) =>
      dateFields(source)({ path: "notice", extracted: read("2026-04-03", "03/04/2026"), recorded });
    expect(checkGrounding([field()], source)).toEqual([]);
    expect(checkGrounding([field("2026-04-03")], source)).toEqual([]);
    expect(checkGrounding([field("2026-03-04")], source)).toMatchObject([{ code: "ambiguous_date" }]);
  });

  it("does not make one date of two pieces of a quote", () => {
    const source = indexSources([
      { source_id: "doc", text: "Closing on May 5, as agreed in the year 2027." },
    ]);
    const extracted = read("2027-05-05", "May 5, ... 2027");
    const findings = checkGrounding([dateFields(source)({ path: "closing", extracted })], source);
    expect(findings.map(({ code }) => code)).toEqual(["value_not_in_quote", "quote_elided"]);
  });
});

describe("compareName", () => {
  it("wants whole words, in any case and punctuation", () => {
    expect(compareName("Larkspur Holdings LLC", 'LARKSPUR HOLDINGS, LLC ("Buyer")').status).toBe("equal");
    expect(compareName("Ann", "Buyer: Annabel Lee").status).toBe("differs");
    expect(compareName("—", "anything").status).toBe("differs");
  });
});
