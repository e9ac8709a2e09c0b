import { formatMoney, type Money } from "../src/domain/money.ts";
import { writeNumberWords } from "../src/domain/number-words.ts";

/** Dice that fall the same way for the same seed (mulberry32). */
export interface Dice {
  next: () => number;
  pick: <T>(items: readonly T[]) => T;
  /** `count` different items, in their order. */
  some: <T>(items: readonly T[], count: number) => T[];
}

export function makeDice(seed: number): Dice {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const pick = <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)]!;
  const some = <T>(items: readonly T[], count: number): T[] => {
    const left = items.map((_, at) => at);
    const chosen = new Set<number>();
    while (chosen.size < Math.min(count, items.length)) {
      const [at = 0] = left.splice(Math.floor(next() * left.length), 1);
      chosen.add(at);
    }
    return items.filter((_, at) => chosen.has(at));
  };
  return { next, pick, some };
}

export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

const months = "January February March April May June July August September October November December".split(
  " ",
);

export type DateStyle = "us" | "us-short" | "uk" | "uk-short" | "formal" | "iso" | "mdy" | "dmy";

export function writeDate(date: string, style: DateStyle): string {
  const [year = 0, number = 0, day = 0] = date.split("-").map(Number);
  const month = months[number - 1] ?? "";
  const short = month.length > 4 ? `${month.slice(0, 3)}.` : month;
  const two = (value: number): string => String(value).padStart(2, "0");
  const styles: Readonly<Record<DateStyle, string>> = {
    us: `${month} ${day}, ${year}`,
    "us-short": `${short} ${day}, ${year}`,
    uk: `${day} ${month} ${year}`,
    "uk-short": `${day} ${short} ${year}`,
    formal: `the ${day}${ordinal(day)} day of ${month}, ${year}`,
    iso: date,
    mdy: `${two(number)}/${two(day)}/${year}`,
    dmy: `${two(day)}/${two(number)}/${year}`,
  };
  return styles[style];
}

function ordinal(day: number): string {
  if (day > 10 && day < 14) return "th";
  return ["th", "st", "nd", "rd"][day % 10] ?? "th";
}

export type MoneyStyle = "symbol" | "whole" | "code" | "million" | "words" | "words-behind" | "continental";

const symbols: Readonly<Record<string, string>> = { USD: "$", EUR: "€", GBP: "£" };
const units: Readonly<Record<string, string>> = { USD: "Dollars", EUR: "Euros", GBP: "Pounds" };

/** Writes an amount; `inWords` is another amount for the words, which makes the document contradict itself. */
export function writeMoney(amount: Money, style: MoneyStyle, inWords: Money = amount): string {
  const digits = formatMoney(amount).slice(4);
  const whole = digits.replace(/\.00$/, "");
  const symbol = symbols[amount.currency] ?? "$";
  const unit = units[inWords.currency] ?? "Dollars";
  const cents = String(inWords.minor_units % 100).padStart(2, "0");
  const words = `${writeNumberWords(Math.floor(inWords.minor_units / 100))} and ${cents}/100 ${unit}`;
  const swapped = digits.replace(/[.,]/g, (mark) => (mark === "," ? "." : ","));
  const styles: Readonly<Record<MoneyStyle, string>> = {
    symbol: `${symbol}${digits}`,
    whole: `${symbol}${whole}`,
    code: `${amount.currency} ${whole}`,
    million: `${amount.currency} ${amount.minor_units / 100_000_000} million`,
    words: `${words} (${symbol}${digits})`,
    "words-behind": `${symbol}${whole} (${words.replace(" and 00/100", "")})`,
    continental: `${symbol}${swapped}`,
  };
  return styles[style];
}

/** Breaks each line at the width, keeping its indent. */
export function wrap(text: string, width: number): string {
  return text
    .split("\n")
    .map((line) => {
      const lines: string[] = [];
      let current = "";
      for (const word of line.split(" ")) {
        if (current !== "" && current.length + 1 + word.length > width) {
          lines.push(current);
          current = `    ${word}`;
        } else current = current === "" ? word : `${current} ${word}`;
      }
      return [...lines, current].join("\n");
    })
    .join("\n");
}

/** Marks the words that a field is read from; `takeQuotes` finds them again. */
export const mark = (field: string, words: string): string => `⟦${field}¦${words}⟧`;

/** The text without its marks, and the words each field was marked with. */
export function takeQuotes(marked: string): { text: string; quotes: ReadonlyMap<string, string> } {
  const quotes = new Map<string, string>();
  const bare = (text: string): string => text.replace(/⟦[^¦]*¦|⟧/g, "");
  let start = marked.indexOf("⟦");
  while (start >= 0) {
    const name = marked.slice(start + 1, marked.indexOf("¦", start));
    let depth = 1;
    let end = start + 1;
    for (; depth > 0 && end < marked.length; end += 1) {
      if (marked[end] === "⟦") depth += 1;
      if (marked[end] === "⟧") depth -= 1;
    }
    quotes.set(name, bare(marked.slice(start, end)).replace(/\s+/g, " "));
    start = marked.indexOf("⟦", start + 1);
  }
  return { text: bare(marked), quotes };
}
