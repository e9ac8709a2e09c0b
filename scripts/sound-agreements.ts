import type { Money } from "../src/domain/money.ts";
import type { Scenario } from "./make-purchase-agreements.ts";

const usd = (dollars: number): Money => ({ minor_units: dollars * 100, currency: "USD" });

/** Agreements without a fault. */
export const soundScenarios: readonly Scenario[] = [
  {
    name: "form-plain",
    about: "A filled form, amounts in digits.",
    look: { layout: "form", money: "symbol", date: "us" },
  },
  {
    name: "recital-words",
    about: "The price in words and digits.",
    look: { layout: "recital", money: "words", date: "us" },
  },
  { name: "letter-iso", about: "ISO dates.", look: { layout: "letter", money: "whole", date: "iso" } },
  {
    name: "deed-formal",
    about: "Dates as 'the 5th day of'.",
    look: { layout: "deed", money: "words", date: "formal" },
    width: 72,
  },
  {
    name: "recital-curly",
    about: "Typographic quotes and non-breaking spaces.",
    look: { layout: "recital", money: "words", date: "us" },
    curly: true,
    buyer: "Samuel O'Dwyer III",
  },
  {
    name: "form-numeric",
    about: "Numeric dates, month first, no day below 13.",
    look: { layout: "form", money: "symbol", date: "mdy" },
    offer: "2026-02-13",
    contingencyDays: [["inspection", 10]],
    closingDay: 44,
  },
  {
    name: "letter-short-months",
    about: "Abbreviated months and a currency code.",
    look: { layout: "letter", money: "code", date: "us-short" },
  },
  {
    name: "deed-euros",
    about: "Euros with continental separators, dates day first in words.",
    look: { layout: "deed", money: "continental", date: "uk" },
    price: { minor_units: 38_500_000, currency: "EUR" },
    earnest: { minor_units: 1_925_050, currency: "EUR" },
    timeZone: "Europe/Dublin",
  },
  {
    name: "recital-million",
    about: "A price of 1.2 million.",
    look: { layout: "recital", money: "million", date: "us" },
    price: usd(1_200_000),
    earnest: usd(36_000),
  },
  {
    name: "form-words-behind",
    about: "Digits first, words in brackets; no deposit.",
    look: { layout: "form", money: "words-behind", date: "uk-short" },
    earnest: null,
  },
  {
    name: "letter-three-contingencies",
    about: "Three contingencies and mixed date formats.",
    look: {
      layout: "letter",
      money: "words",
      date: "us",
      dates: { closing_date: "formal", "contingency_dates.1": "iso" },
    },
    contingencyDays: [
      ["inspection", 9],
      ["appraisal", 20],
      ["financing", 28],
    ],
  },
  {
    name: "deed-pounds",
    about: "Pounds, and a source record that agrees.",
    look: { layout: "deed", money: "symbol", date: "uk" },
    price: { minor_units: 61_250_000, currency: "GBP" },
    earnest: { minor_units: 6_125_000, currency: "GBP" },
    timeZone: "Europe/London",
    sourceRecord: ({ price, buyer, seller }) => ({
      purchase_price: price,
      buyer_name: buyer?.toUpperCase(),
      seller_name: seller,
    }),
  },
  {
    name: "form-day-first-settled",
    about: "03/04 reads both ways; 25/04 in the same document settles it.",
    look: {
      layout: "form",
      money: "symbol",
      date: "us",
      dates: { "contingency_dates.0": "dmy", closing_date: "dmy" },
    },
    offer: "2026-03-24",
    contingencyDays: [["inspection", 10]],
    closingDay: 32,
  },
  {
    name: "recital-record-settles",
    about: "The closing date reads both ways; the source record settles it.",
    look: { layout: "recital", money: "words", date: "us", dates: { closing_date: "mdy" } },
    offer: "2026-03-20",
    closingDay: 46,
    sourceRecord: ({ closing, price }) => ({ closing_date: closing, purchase_price: price.minor_units }),
  },
  {
    name: "letter-closing-on-deadline-day",
    about: "A contingency that ends today is not past.",
    look: { layout: "letter", money: "whole", date: "us" },
    businessDay: 12,
  },
];
