import { foldText } from "./fold.ts";

/** A calendar date that exists, yyyy-mm-dd. Such strings sort by time. */
export type IsoDate = string;

/** One date as written: certain, or numeric and readable both ways. Offsets are into the folded text. */
export type StatedDate = { start: number; end: number } & (
  | { kind: "certain"; date: IsoDate; numericOrder?: NumericOrder }
  | { kind: "ambiguous"; monthFirst: IsoDate; dayFirst: IsoDate }
);

export type NumericOrder = "month-first" | "day-first";

/** What a quote says about a date. No date, or a date without a day or a year, is null. */
export type DateReading =
  | { kind: "certain"; date: IsoDate }
  | { kind: "ambiguous"; monthFirst: IsoDate; dayFirst: IsoDate }
  | { kind: "several"; dates: IsoDate[]; ambiguous: boolean };

const monthNames =
  "january february march april may june july august september october november december".split(" ");
const dayWords = (
  "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth " +
  "sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth " +
  "twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
).split(" ");

const month =
  "(?<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\\b\\.?";
// Scanned contracts break ordinals apart: "15t h day of January".
const ordinal = "(?:\\s?(?:s\\s?t|n\\s?d|r\\s?d|t\\s?h)\\b)?";
const digits = `(?<day>\\d{1,2})${ordinal}`;
const words = `(?<dayWord>${[...dayWords].reverse().join("|")})`;
const year = "(?<year>\\d{4})(?!\\d)";
// The second day of "5 to 7 January 2026" is not the date that the quote states; neither is one cut out of a number.
const notAfterDay = "(?<!\\d)(?<!\\d\\s?[/.,-]\\s?)(?<!\\d\\s?(?:st|nd|rd|th)?\\s(?:and|or|to|&)\\s)";

const patterns: readonly RegExp[] = [
  new RegExp(`\\b${month}\\s?(?:the\\s)?${digits}\\s?,?\\s?${year}`, "gi"),
  new RegExp(
    `${notAfterDay}${digits}\\s?(?:day\\s)?(?:of\\s)?\\s?${month}\\s?,?\\s?(?:in the year\\s)?${year}`,
    "gi",
  ),
  new RegExp(`\\b${words}\\s(?:day\\s)?(?:of\\s)?${month}\\s?,?\\s?(?:in the year\\s)?${year}`, "gi"),
  new RegExp(`(?<!\\d)(?<day>\\d{1,2})-${month}-(?<year>\\d{4}|\\d{2})(?!\\d)`, "gi"),
  /(?<![\d/.-])(?<year>\d{4})(?<mark>[-/.])(?<monthNumber>\d{1,2})\k<mark>(?<day>\d{1,2})(?![\d]|[-/.]\d)/g,
];
// Two-digit years only between slashes: "5.2.10" and "5-2-10" are clause numbers.
const numeric =
  /(?<![\d]|\d[/.-])(?<first>\d{1,2})\s?(?:(?<mark>[/.-])\s?(?<second>\d{1,2})\s?\k<mark>\s?(?<year>\d{4})|\/\s?(?<second2>\d{1,2})\s?\/\s?(?<year2>\d{2}))(?![\d]|[/.-]\d)/g;

/** Each date a text states, in order. Dates that no calendar has (30 February) are not dates. */
export function findDates(text: string): StatedDate[] {
  const folded = foldText(text).text;
  const found = [
    ...patterns.flatMap((pattern) => matches(folded, pattern, namedDate)),
    ...numericDates(folded),
  ];
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  return found.filter((date, at) => !found.slice(0, at).some((earlier) => earlier.end > date.start));
}

/** What one quote says. A date written twice, or once in words and once in digits, counts once. */
export function readDate(quote: string): DateReading | null {
  const found = findDates(quote);
  const certain = new Set(found.flatMap((date) => (date.kind === "certain" ? [date.date] : [])));
  const open = new Map<string, { monthFirst: IsoDate; dayFirst: IsoDate }>();
  for (const date of found) {
    if (date.kind === "certain" || certain.has(date.monthFirst) || certain.has(date.dayFirst)) continue;
    open.set(date.monthFirst, { monthFirst: date.monthFirst, dayFirst: date.dayFirst });
  }
  const [only] = certain;
  const [ambiguous] = open.values();
  if (certain.size + open.size > 1) {
    const readings = [...open.values()].flatMap((date) => [date.monthFirst, date.dayFirst]);
    return { kind: "several", dates: [...certain, ...readings], ambiguous: open.size > 0 };
  }
  if (only) return { kind: "certain", date: only };
  return ambiguous ? { kind: "ambiguous", ...ambiguous } : null;
}

/** How a document writes numeric dates, when those readable one way only agree on it. */
export function numericOrder(text: string): NumericOrder | null {
  const orders = new Set<NumericOrder>();
  for (const date of numericDates(foldText(text).text)) {
    if (date.kind === "certain" && date.numericOrder) orders.add(date.numericOrder);
  }
  const [order] = orders;
  return orders.size === 1 && order ? order : null;
}

/** Whether a text is a real calendar date written yyyy-mm-dd. */
export function isIsoDate(text: string): boolean {
  const parts = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  return parts !== null && isoDate(Number(parts[1]), Number(parts[2]), Number(parts[3])) === text;
}

function numericDates(folded: string): StatedDate[] {
  return matches(folded, numeric, (groups) => {
    const year = fullYear(groups.year ?? groups.year2 ?? "");
    const first = Number(groups.first);
    const second = Number(groups.second ?? groups.second2);
    const monthFirst = isoDate(year, first, second);
    const dayFirst = isoDate(year, second, first);
    if (monthFirst && dayFirst && monthFirst !== dayFirst) return { kind: "ambiguous", monthFirst, dayFirst };
    if (monthFirst && dayFirst) return { kind: "certain", date: monthFirst };
    if (monthFirst) return { kind: "certain", date: monthFirst, numericOrder: "month-first" };
    return dayFirst ? { kind: "certain", date: dayFirst, numericOrder: "day-first" } : null;
  });
}

type Groups = Readonly<Record<string, string | undefined>>;
type Read =
  | { kind: "certain"; date: IsoDate; numericOrder?: NumericOrder }
  | { kind: "ambiguous"; monthFirst: IsoDate; dayFirst: IsoDate };

function matches(text: string, pattern: RegExp, read: (groups: Groups) => Read | null): StatedDate[] {
  return [...text.matchAll(pattern)].flatMap((match) => {
    const stated = read(match.groups ?? {});
    return stated ? [{ ...stated, start: match.index, end: match.index + match[0].length }] : [];
  });
}

function namedDate(groups: Groups): Read | null {
  const name = groups.month?.toLowerCase().slice(0, 3);
  const number = name
    ? monthNames.findIndex((candidate) => candidate.startsWith(name)) + 1
    : Number(groups.monthNumber);
  const day = groups.dayWord ? dayWords.indexOf(groups.dayWord.toLowerCase()) + 1 : Number(groups.day);
  const date = isoDate(fullYear(groups.year ?? ""), number, day);
  return date ? { kind: "certain", date } : null;
}

/** Two digits are read as POSIX does: 69 to 99 are of the last century. */
function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 4) return year;
  return year >= 69 ? 1900 + year : 2000 + year;
}

function isoDate(year: number, month: number, day: number): IsoDate | null {
  if (year < 1600 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  const two = (number: number): string => String(number).padStart(2, "0");
  return `${year}-${two(month)}-${two(day)}`;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}
