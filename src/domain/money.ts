import { foldText } from "./fold.ts";
import { readNumberWords } from "./number-words.ts";

/** An amount in the smallest unit of its currency: cents, pence, yen. Always a safe integer. */
export interface Money {
  minor_units: number;
  /** ISO 4217, e.g. `USD`. */
  currency: string;
}

/** One amount as written. Offsets are into the folded text. */
export interface StatedMoney extends Money {
  form: "digits" | "words";
  start: number;
  end: number;
}

/** The same sum written twice side by side, `Five Dollars ($5.00)`: the two must agree. */
export interface MoneyPair {
  words: StatedMoney;
  digits: StatedMoney;
}

const symbols: Readonly<Record<string, string>> = {
  $: "USD",
  us$: "USD",
  "u.s.$": "USD",
  ca$: "CAD",
  c$: "CAD",
  au$: "AUD",
  a$: "AUD",
  "€": "EUR",
  "£": "GBP",
  "¥": "JPY",
};
const names: Readonly<Record<string, string>> = {
  dollar: "USD",
  euro: "EUR",
  pound: "GBP",
  franc: "CHF",
  yen: "JPY",
};
const minorDigits: Readonly<Record<string, number>> = { JPY: 0 };
const scales: Readonly<Record<string, number>> = {
  k: 3,
  thousand: 3,
  m: 6,
  mm: 6,
  mn: 6,
  million: 6,
  b: 9,
  bn: 9,
  billion: 9,
};

const code = "USD|EUR|GBP|CHF|CAD|AUD|JPY";
const symbol = "u\\.s\\.\\$|us\\$|ca\\$|c\\$|au\\$|a\\$|[$€£¥]";
const scale = "(?:\\s?(?<scale>thousand|million|billion|mm|mn|bn|[kmb])\\b)?";
// A number longer than any amount is no amount, and costs no more than this to refuse.
const number = "(?<number>\\d[\\d,.']{0,30}(?<=\\d)(?!\\d|[,.']\\d)|\\.\\d{1,4}(?!\\d))";
const unit = `(?:(?:US|U\\.S\\.|United States|Canadian|Australian)\\s)?(?:dollars?|euros?|pounds?(?: sterling)?|(?:Swiss )?francs?|yen)\\b|(?:${code})\\b`;
const digitPatterns: readonly RegExp[] = [
  new RegExp(
    `(?<![\\p{L}\\d])(?<before>(?:${code})\\s?(?:${symbol})?|${symbol})\\s?${number}${scale}(?:\\s(?<after>${unit}))?`,
    "giu",
  ),
  new RegExp(`(?<![\\p{L}\\d.,'/$€£¥])${number}${scale}\\s?\\)?\\s?(?<after>${unit})`, "giu"),
];

const word =
  "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|" +
  "twenty|thirty|forty|fourty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion";
const run = `(?:${word})(?:(?:\\s?-\\s?|\\s?,\\s?|\\s)(?:and\\s)?(?:${word})\\b){0,30}`;
const cents = `(?:and\\s)?(?:(?<hundredths>\\d{1,2}|no|xx)\\s?/\\s?100|(?<centWords>${run}|\\d{1,2})\\scents?)`;
const wordPattern = new RegExp(
  `\\b(?<run>${run})\\b(?:\\s${cents.replaceAll("?<", "?<inner_")})?(?:\\s?\\(\\s?(?<parens>[^()]{1,40})\\))?(?:\\s(?<unit>${unit}))?(?:\\s${cents})?`,
  "giu",
);

/** Each amount a text states, in digits or in words, in order. */
export function findMoney(text: string): StatedMoney[] {
  const folded = foldText(text).text;
  const inDigits = digitPatterns.flatMap((pattern) => [...folded.matchAll(pattern)].flatMap(digitsMoney));
  const inWords = [...folded.matchAll(wordPattern)].flatMap(wordsMoney);
  const found = [...withoutOverlaps(inDigits), ...inWords];
  return found.sort((a, b) => a.start - b.start || a.end - b.end);
}

/** The amounts written in words right beside the same amount in digits. */
export function moneyPairs(text: string): MoneyPair[] {
  const folded = foldText(text).text;
  const stated = findMoney(text);
  return stated.flatMap((first, at) => {
    const second = stated[at + 1];
    if (!second || first.form === second.form) return [];
    const between = folded.slice(first.end, second.start);
    if (!/^[\s,;:()/=-]{0,8}$/.test(between)) return [];
    if (first.form === "words") return [{ words: first, digits: second }];
    // "$500,000 (Five …)" is a pair; the next line of a list after an amount is not.
    return /[(/=-]/.test(between) ? [{ words: second, digits: first }] : [];
  });
}

/**
 * Where a quote's amount in words and in digits disagree. `surroundings` is the passage the quote stands in: a quote of the
 * digits alone does not hide the words beside them.
 */
export function contradictions(quote: string, surroundings: string): MoneyPair[] {
  const stated = findMoney(quote);
  const beside = moneyPairs(surroundings).filter(({ words, digits }) =>
    stated.some((money) => sameMoney(money, money.form === "words" ? words : digits)),
  );
  const differing = beside.filter(({ words, digits }) => !sameMoney(words, digits));
  if (differing.length > 0) return differing;
  const inDigits = stated.filter((money) => money.form === "digits");
  const [digits] = inDigits;
  const unmatched = stated.find(
    (money) => money.form === "words" && !inDigits.some((other) => sameMoney(money, other)),
  );
  return digits && unmatched ? [{ words: unmatched, digits }] : [];
}

export function sameMoney(a: Money, b: Money): boolean {
  return a.minor_units === b.minor_units && a.currency === b.currency;
}

/** `USD 500,000.00`: an amount for messages. */
export function formatMoney({ minor_units, currency }: Money): string {
  const places = minorDigits[currency] ?? 2;
  const padded = String(Math.abs(minor_units)).padStart(places + 1, "0");
  const whole = padded.slice(0, padded.length - places).replace(/\B(?=(?:\d{3})+$)/g, ",");
  const sign = minor_units < 0 ? "-" : "";
  return `${currency} ${sign}${whole}${places > 0 ? `.${padded.slice(-places)}` : ""}`;
}

function digitsMoney(match: RegExpExecArray): StatedMoney[] {
  const groups = match.groups ?? {};
  const currency = currencyOf(groups.before, groups.after);
  if (!currency) return [];
  const decimal = readDecimal(groups.number ?? "", currency);
  if (!decimal) return [];
  const places = (minorDigits[currency] ?? 2) + (scales[groups.scale?.toLowerCase() ?? ""] ?? 0);
  const minor_units = shift(decimal, places);
  if (minor_units === null) return [];
  return [{ form: "digits", minor_units, currency, start: match.index, end: match.index + match[0].length }];
}

function wordsMoney(match: RegExpExecArray): StatedMoney[] {
  const groups = match.groups ?? {};
  const currency = currencyOf(undefined, groups.unit) ?? currencyOf(symbolIn(groups.parens), undefined);
  const whole = readNumberWords(groups.run ?? "");
  if (!currency || whole === null) return [];
  const hundredths = readCents(
    groups.inner_hundredths ?? groups.hundredths,
    groups.inner_centWords ?? groups.centWords,
  );
  const places = minorDigits[currency] ?? 2;
  if (hundredths === null || (hundredths > 0 && places !== 2)) return [];
  const minor_units = whole * 10 ** places + hundredths;
  if (!Number.isSafeInteger(minor_units)) return [];
  // The digits in brackets are an amount of their own: the words end before them.
  const end = groups.parens === undefined ? match[0].length : match[0].indexOf("(");
  return [{ form: "words", minor_units, currency, start: match.index, end: match.index + end }];
}

function readCents(digits: string | undefined, words: string | undefined): number | null {
  if (digits !== undefined) return /^\d+$/.test(digits) ? Number(digits) : 0;
  if (words === undefined) return 0;
  const value = /^\d+$/.test(words) ? Number(words) : readNumberWords(words);
  return value !== null && value < 100 ? value : null;
}

function symbolIn(brackets: string | undefined): string | undefined {
  return (
    brackets && new RegExp(`^\\s?((?:${code})\\s?(?:${symbol})?|${symbol})\\s?\\d`, "i").exec(brackets)?.[1]
  );
}

/** A name or code behind the amount is more exact than `$` before it: `$500 CAD`. */
function currencyOf(before: string | undefined, after: string | undefined): string | null {
  if (after) return namedCurrency(after.toLowerCase());
  const mark = before?.toLowerCase().replace(/\s/g, "");
  if (!mark) return null;
  return symbols[mark] ?? namedCurrency(mark);
}

function namedCurrency(unit: string): string | null {
  const byCode = new RegExp(`^(?:${code})`, "i").exec(unit)?.[0];
  if (byCode) return byCode.toUpperCase();
  if (/^canadian/.test(unit)) return "CAD";
  if (/^australian/.test(unit)) return "AUD";
  const name = Object.keys(names).find((candidate) => unit.includes(candidate));
  return name ? (names[name] ?? null) : null;
}

/** "1,234.50" and "1.234,50" as digits and a decimal place; null where the grouping makes no sense. */
function readDecimal(written: string, currency: string): { digits: string; places: number } | null {
  const plain = /^(?<whole>\d+|\d{1,3}(?:,\d{3})+|\d{1,3}(?:'\d{3})+)(?:\.(?<part>\d+))?$/.exec(
    written,
  )?.groups;
  const continental = /^(?<whole>\d{1,3}(?:\.\d{3})+|\d+)(?:,(?<part>\d{1,2}))?$/.exec(written)?.groups;
  // "€500.000" is half a million; "$500.000" is a slip that nobody should guess at.
  const threePlaces = plain?.part?.length === 3 && /^\d{1,3}$/.test(plain.whole ?? "");
  const groups = threePlaces
    ? currency === "EUR" || currency === "CHF"
      ? continental
      : undefined
    : (plain ?? continental);
  if (!groups) return null;
  const part = groups.part ?? "";
  return { digits: `${(groups.whole ?? "").replace(/[,.']/g, "")}${part}`, places: part.length };
}

/** Moves the decimal point without floating point; null unless the result is a safe whole number. */
function shift({ digits, places }: { digits: string; places: number }, by: number): number | null {
  const missing = by - places;
  if (digits.length > 20 || missing > 20) return null;
  const moved = missing >= 0 ? digits + "0".repeat(missing) : digits.slice(0, missing);
  if (missing < 0 && /[1-9]/.test(digits.slice(missing))) return null;
  const value = Number(moved === "" ? "0" : moved);
  return Number.isSafeInteger(value) ? value : null;
}

function withoutOverlaps(found: StatedMoney[]): StatedMoney[] {
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  return found.filter((money, at) => !found.slice(0, at).some((earlier) => earlier.end > money.start));
}
