import { matchesOf, type Reading } from "./reading.ts";

const months = [
  "january",
  "february",
  "march",
  "april",
  "may",
  "june",
  "july",
  "august",
  "september",
  "october",
  "november",
  "december",
];
const month =
  "(?<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\\.?";
const day = "(?<day>\\d{1,2})\\s?(?:st|nd|rd|t\\s?h)?";
const fourDigits = "(?<year>\\d{4})";

const written = [
  // March 3, 2027
  new RegExp(`\\b${month}\\s+${day}\\s*,?\\s+${fourDigits}\\b`, "gi"),
  // 3 March 2027; 5th day of March, 2027; 3-Mar-2027
  new RegExp(`\\b${day}(?:\\s+day)?(?:\\s+of)?[\\s-]+${month}\\s*[,-]?\\s*${fourDigits}\\b`, "gi"),
  // 2027-03-03
  /\b(?<year>\d{4})-(?<monthNumber>\d{1,2})-(?<day>\d{1,2})\b/g,
];
const numeric =
  /(?<![\d/.-])(?<first>\d{1,2})(?<mark>[/.-])(?<second>\d{1,2})\k<mark>(?<year>\d{4}|\d{2})(?![\d/-]|\.\d)/g;

/**
 * Every date that the text states, in order. `03/04/2027` is read as the text's other numeric dates are written, and
 * the American way where they do not tell.
 */
export function findDates(text: string): Reading<string>[] {
  const found: Reading<string>[] = [];
  for (const pattern of written) {
    for (const match of matchesOf(text, pattern)) {
      const g = match.groups ?? {};
      const number = g.monthNumber === undefined ? monthNumber(g.month ?? "") : Number(g.monthNumber);
      add(found, match, isoDate(Number(g.year), number, Number(g.day)));
    }
  }
  const numbers = matchesOf(text, numeric);
  const dayFirst = numbers.some(onlyDayFirst) && !numbers.some(onlyMonthFirst);
  for (const match of numbers) {
    const g = match.groups ?? {};
    const year = g.year?.length === 2 ? 2000 + Number(g.year) : Number(g.year);
    const [a, b] = [Number(g.first), Number(g.second)];
    const readings = [isoDate(year, a, b), isoDate(year, b, a)];
    add(found, match, dayFirst ? (readings[1] ?? readings[0]) : (readings[0] ?? readings[1]));
  }
  return found.sort((a, b) => a.start - b.start);
}

const monthsInYear = 12;
const onlyDayFirst = ({ groups }: RegExpExecArray): boolean => Number(groups?.first) > monthsInYear;
const onlyMonthFirst = ({ groups }: RegExpExecArray): boolean => Number(groups?.second) > monthsInYear;

function add(found: Reading<string>[], match: RegExpExecArray, value: string | undefined): void {
  if (value === undefined) return;
  const reading = { value, start: match.index, end: match.index + match[0].length };
  if (found.some((other) => other.start < reading.end && reading.start < other.end)) return;
  found.push(reading);
}

const monthNumber = (name: string): number =>
  months.findIndex((full) => full.startsWith(name.toLowerCase().slice(0, 3))) + 1;

function isoDate(year: number, monthOfYear: number, dayOfMonth: number): string | undefined {
  const date = new Date(Date.UTC(year, monthOfYear - 1, dayOfMonth));
  if (date.getUTCMonth() !== monthOfYear - 1 || date.getUTCDate() !== dayOfMonth) return undefined;
  return date.toISOString().slice(0, 10);
}
