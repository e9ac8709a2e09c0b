import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { writeMoney } from "../../scripts/sample-text.ts";
import { contradictions, findMoney, formatMoney, moneyPairs } from "../../src/domain/money.ts";
import { readNumberWords, writeNumberWords } from "../../src/domain/number-words.ts";

const read = (text: string): string[] =>
  findMoney(text).map((money) => `${money.form} ${formatMoney(money)}`);

describe("findMoney", () => {
  it.each([
    ["$500,000.00", "USD 500,000.00"],
    ["$500000", "USD 500,000.00"],
    ["US$ 300,000", "USD 300,000.00"],
    ["USD 1.2 million", "USD 1,200,000.00"],
    ["$1.25M", "USD 1,250,000.00"],
    ["£450k", "GBP 450,000.00"],
    ["500,000 Dollars", "USD 500,000.00"],
    ["500,000 USD", "USD 500,000.00"],
    ["$500,000 CAD", "CAD 500,000.00"],
    ["€500.000,50", "EUR 500,000.50"],
    ["€500.000", "EUR 500,000.00"],
    ["EUR 385,000", "EUR 385,000.00"],
    ["CHF 1'200'000", "CHF 1,200,000.00"],
    ["¥5,000,000", "JPY 5,000,000"],
    ["$\u00a0500,000.", "USD 500,000.00"],
    ["$0.99", "USD 0.99"],
  ])("reads the digits %j", (text, amount) => {
    expect(read(text)).toEqual([`digits ${amount}`]);
  });

  it.each([
    ["Five Hundred Thousand and 00/100 Dollars", "USD 500,000.00"],
    ["Five Hundred Thousand Dollars and 50/100", "USD 500,000.50"],
    ["FOUR HUNDRED TWENTY-FIVE THOUSAND DOLLARS", "USD 425,000.00"],
    ["one million two hundred and fifty thousand U.S. dollars", "USD 1,250,000.00"],
    ["Ninety Nine Dollars and Five Cents", "USD 99.05"],
    ["three hundred eighty-five thousand euros", "EUR 385,000.00"],
    ["Ten Thousand and no/100 Dollars", "USD 10,000.00"],
  ])("reads the words %j", (text, amount) => {
    expect(read(text)).toEqual([`words ${amount}`]);
  });

  it.each([
    "500,000",
    "two hundred (200) shares",
    "Two (2) years",
    "five six dollars",
    "$500.000",
    "$1,00,000",
    "$9,999,999,999,999,999",
    "$0.001",
    "99 problems",
    "",
  ])("reads no amount in %j", (text) => {
    expect(read(text)).toEqual([]);
  });

  it("reads an amount written in words and in digits as two", () => {
    expect(read("the sum of Five Hundred Thousand ($500,000.00) Dollars")).toEqual([
      "words USD 500,000.00",
      "digits USD 500,000.00",
    ]);
  });

  it("reads back every amount that was written, in every style", () => {
    const cents = fc.integer({ min: 1, max: 99_999_999_999 });
    const currencies = fc.constantFrom("USD", "EUR", "GBP");
    const styles = fc.constantFrom("symbol", "whole", "code", "words");
    fc.assert(
      fc.property(cents, currencies, styles, (minor_units, currency, style) => {
        const stated = findMoney(`for ${writeMoney({ minor_units, currency }, style)}, payable`);
        expect(stated.length).toBe(style === "words" && minor_units >= 100 ? 2 : stated.length);
        for (const money of stated) expect(money).toMatchObject({ minor_units, currency });
        expect(stated.length).toBeGreaterThan(0);
      }),
    );
  });

  it("gives safe whole numbers only, whatever the text", () => {
    const pieces = fc.constantFrom(
      "$",
      "€",
      "USD",
      "1",
      "999",
      ",",
      ".",
      " ",
      "million",
      "billion",
      "two",
      "hundred",
      "and",
      "dollars",
      "00/100",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 25 }), (parts) => {
        for (const { minor_units } of findMoney(parts.join(" ")))
          expect(Number.isSafeInteger(minor_units)).toBe(true);
      }),
    );
  });
});

describe("contradictions", () => {
  it("finds words that say another amount than the digits", () => {
    const quote = "Five Hundred Fifty Thousand and 00/100 Dollars ($500,000.00)";
    expect(contradictions(quote, quote)).toMatchObject([
      { words: { minor_units: 55_000_000 }, digits: { minor_units: 50_000_000 } },
    ]);
  });

  it("finds them beside the quote when the quote holds the digits alone", () => {
    const passage = "The price is $500,000 (Five Hundred Fifty Thousand Dollars), payable at closing.";
    expect(contradictions("$500,000", passage)).toHaveLength(1);
  });

  it("leaves other amounts of the passage alone", () => {
    const passage =
      "Deposit: Ten Thousand Dollars ($12,000). Price: Five Hundred Thousand Dollars ($500,000).";
    expect(contradictions("$500,000", passage)).toEqual([]);
    expect(moneyPairs(passage)).toHaveLength(2);
  });
});

describe("number words", () => {
  it("reads back every number that was written", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999_999_999 }), (value) => {
        expect(readNumberWords(writeNumberWords(value))).toBe(value);
        expect(readNumberWords(writeNumberWords(value).toUpperCase())).toBe(value);
      }),
    );
  });

  it.each([
    "",
    "five six",
    "twenty eleven",
    "thousand",
    "hundred five",
    "one thousand two thousand",
    "ten twenty",
  ])("does not guess at %j", (words) => {
    expect(readNumberWords(words)).toBeNull();
  });
});
