import { matchesOf, type Reading } from "./reading.ts";

export interface Amount {
  minor_units: number;
  currency: string;
}

const currencies: Readonly<Record<string, string>> = {
  $: "USD",
  us$: "USD",
  usd: "USD",
  dollar: "USD",
  "€": "EUR",
  eur: "EUR",
  euro: "EUR",
  "£": "GBP",
  gbp: "GBP",
  pound: "GBP",
  c$: "CAD",
  ca$: "CAD",
  cad: "CAD",
};

const small =
  "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen".split(
    "|",
  );
const tens = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety".split("|");
const scales: Readonly<Record<string, number>> = { hundred: 100, thousand: 1_000, million: 1_000_000 };

const numberWord = `(?:${[...small, ...tens, ...Object.keys(scales)].join("|")})`;
const words = `(?<words>${numberWord}(?:(?:[\\s-]+(?:and\\s+)?|,\\s*)${numberWord}){0,24})`;
const cents = "(?:\\s+and\\s+(?<hundredths>\\d{1,2}|no)/100(?:ths)?)?";
const unit = "(?:(?:u\\.?s\\.?\\s+|united\\s+states\\s+)?(?<unit>dollar|euro|pound)s?)";
const symbol = "(?<symbol>us\\$|ca?\\$|[$€£]|\\b(?:usd|eur|gbp|cad)\\b)";
const digits =
  "(?<digits>\\d{1,3}(?:,\\d{3})+(?:\\.\\d{2})?|\\d{1,3}(?:\\.\\d{3})+(?:,\\d{2})?|\\d+(?:\\.\\d{1,2})?)(?!\\d|[.,]\\d)(?:\\s+(?<scale>million|thousand)\\b)?";

const inDigits = new RegExp(
  `${symbol}\\s*${digits}|(?<![\\d/.,$€£])${digits.replaceAll(/<(\w+)>/g, "<$12>")}\\s?(?<after>usd|eur|gbp|cad|u\\.?s\\.?\\s+dollars|dollars|euros?)\\b`,
  "gi",
);
const inWords = new RegExp(
  `\\b${words}${cents}\\s+${unit}${cents.replaceAll("hundredths", "hundredths2")}`,
  "gi",
);

/** The gap between a sum in words and the same sum in digits: `Five Dollars ($5.00)`, `Five Dollars (U.S. $5.00)`. */
const pairGap = /^\s*[(,[]?\s*(?:u\.?s\.?\s*)?$/i;

/** Every sum that the text states, in order. A sum in words and then in digits is one reading: the digits' value. */
export function findAmounts(text: string): Reading<Amount>[] {
  const found: Reading<Amount>[] = [];
  for (const match of matchesOf(text, inDigits)) {
    const g = match.groups ?? {};
    const mark = (g.symbol ?? g.after ?? "$").toLowerCase();
    const value = amountOf(plainDecimal(g.digits ?? g.digits2 ?? ""), g.scale ?? g.scale2, currencyOf(mark));
    if (value !== undefined) found.push({ value, start: match.index, end: match.index + match[0].length });
  }
  for (const match of matchesOf(text, inWords)) joinWords(text, match, found);
  return found.sort((a, b) => a.start - b.start);
}

function joinWords(text: string, match: RegExpExecArray, found: Reading<Amount>[]): void {
  const g = match.groups ?? {};
  const start = match.index;
  const end = start + match[0].length;
  const partner = found.find((other) => other.start >= end && pairGap.test(text.slice(end, other.start)));
  if (partner !== undefined) {
    partner.start = start;
    if (text[partner.end] === ")" && text.slice(end, partner.end).includes("(")) partner.end += 1;
    return;
  }
  const hundredths = Number(g.hundredths ?? g.hundredths2 ?? 0) || 0;
  const value = wordsToNumber(g.words ?? "") * 100 + hundredths;
  if (value > 0)
    found.push({
      value: { minor_units: value, currency: currencyOf((g.unit ?? "").toLowerCase()) },
      start,
      end,
    });
}

const currencyOf = (mark: string): string =>
  currencies[mark] ?? currencies[mark.replace(/^u\.?s\.?\s+|s$/g, "")] ?? "USD";

/** `385.000,00` is written the continental way: the last mark, with two digits behind it, is the decimal one. */
const plainDecimal = (written: string): string =>
  /\.\d{3}/.test(written) ? written.replaceAll(".", "").replace(",", ".") : written.replaceAll(",", "");

function amountOf(decimal: string, scale: string | undefined, currency: string): Amount | undefined {
  const minor = Math.round(Number(decimal) * (scales[(scale ?? "").toLowerCase()] ?? 1) * 100);
  return Number.isSafeInteger(minor) && minor > 0 ? { minor_units: minor, currency } : undefined;
}

function wordsToNumber(phrase: string): number {
  let total = 0;
  let group = 0;
  for (const word of phrase.toLowerCase().split(/[^a-z]+/)) {
    const scale = scales[word];
    if (scale === 100) group *= 100;
    else if (scale !== undefined) {
      total += group * scale;
      group = 0;
    } else if (tens.includes(word)) group += (tens.indexOf(word) + 2) * 10;
    else group += Math.max(0, small.indexOf(word));
  }
  return total + group;
}
