/** How hard the stand-in looks: `quick` is its first answer, `careful` its answer to a repair request. */
export type Care = "quick" | "careful";

/** A value and where the text states it. Offsets are UTF-16 code units, end exclusive. */
export interface Reading<V> {
  value: V;
  start: number;
  end: number;
}

/** A value with the words it was read from. */
export interface Found<V> {
  value: V;
  quote: string;
  /** Another value could have been meant as well. */
  ambiguous: boolean;
}

export interface Span {
  start: number;
  end: number;
}

/** A longer document is read up to here. */
export const documentCharactersMax = 400_000;

/** On either side: some contracts are one line of a hundred pages. */
const paragraphReachCharacters = 4_000;

/** The paragraph around an offset: blank lines end it. */
export function paragraphAt(text: string, at: number): Span {
  const from = Math.max(0, at - paragraphReachCharacters);
  const window = text.slice(from, at + paragraphReachCharacters);
  const start = lastMatchEnd(window, /\n[ \t]*\n/g, at - from);
  const after = /\n[ \t]*\n/g;
  after.lastIndex = at - from;
  const end = after.exec(window)?.index ?? window.length;
  return trim(text, { start: from + start, end: from + end });
}

/** Ends a sentence: a full stop with space behind it, but not the one of an abbreviation or an initial. */
const sentenceEnd =
  /(?<!\b(?:[A-Z]|St|Ave|Blvd|Rd|Dr|Mr|Mrs|Ms|Jr|Sr|Inc|Ltd|Co|Corp|No|Nos|Sec|Art|etc|approx|Apt))[.;](?=\s)/g;

/** The sentence around an offset; in a list of `label: value` lines it is the line. */
export function sentenceAt(text: string, at: number): Span {
  const paragraph = paragraphAt(text, at);
  const line = lineAt(text, at);
  if (isFormLine(text.slice(line.start, line.end))) return line;
  const body = text.slice(paragraph.start, paragraph.end);
  const start = lastMatchEnd(body, new RegExp(sentenceEnd), at - paragraph.start);
  const next = new RegExp(sentenceEnd);
  next.lastIndex = Math.max(0, at - paragraph.start);
  const end = (next.exec(body)?.index ?? body.length - 1) + 1;
  return trim(text, { start: paragraph.start + start, end: paragraph.start + end });
}

export function lineAt(text: string, at: number): Span {
  const start = text.lastIndexOf("\n", at - 1) + 1;
  const end = text.indexOf("\n", at);
  const limit = at + paragraphReachCharacters;
  return trim(text, {
    start: Math.max(start, at - paragraphReachCharacters),
    end: Math.min(end < 0 ? text.length : end, limit),
  });
}

/** `Closing Date: March 3, 2027`, `| Closing Date | March 3, 2027 |` */
const isFormLine = (line: string): boolean => /^[^.;]{2,60}(?::\s|\t|\s{3,}|\s*\|)/.test(line);

export function trim(text: string, { start, end }: Span): Span {
  const slice = text.slice(start, end);
  const lead = slice.length - slice.trimStart().length;
  return { start: start + lead, end: start + Math.max(lead, slice.trimEnd().length) };
}

/** Matches of a pattern, bounded: a pattern that fits everywhere must not fill the memory. */
const matchesMax = 500;

export function matchesOf(text: string, pattern: RegExp): RegExpExecArray[] {
  const global = new RegExp(
    pattern.source,
    pattern.flags.includes("g") ? pattern.flags : `${pattern.flags}g`,
  );
  const found: RegExpExecArray[] = [];
  for (const match of text.matchAll(global)) {
    found.push(match);
    if (found.length >= matchesMax) break;
  }
  return found;
}

function lastMatchEnd(text: string, pattern: RegExp, before: number): number {
  let end = 0;
  for (const match of matchesOf(text.slice(0, before), pattern)) end = match.index + match[0].length;
  return end;
}
