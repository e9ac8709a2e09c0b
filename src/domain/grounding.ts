import type { Evidence, Extracted, Finding, SourceDocument } from "./finding.ts";
import { clip, type FoldedText, foldText } from "./fold.ts";

/** A source made ready for many quotes: folded once, then each quote is one substring search. */
export interface SourceIndex {
  source_id: string;
  text: string;
  folded: FoldedText;
}

/** What a reader of one kind of value says about a value and the quote it was read from. */
export type Comparison =
  | { status: "equal" }
  /** The quote states this value and others: it does not say which one was meant. */
  | { status: "one_of_several"; stated: readonly string[] }
  | { status: "differs"; stated: readonly string[] }
  | { status: "ambiguous"; readings: readonly string[] }
  | { status: "unreadable" };

/** One extracted value, where it stands in the output, and how to compare it with its quote. */
export interface GroundedField {
  path: string;
  extracted: Extracted<unknown>;
  compare: (quote: string) => Comparison;
  /** What a quote that states no readable value means. `error` unless told. */
  unreadable?: Finding["severity"];
}

/** Where a quote stands. `elided` says it was put together from pieces. */
export interface Found extends Evidence {
  elided: boolean;
}

const omission = /<omitted>|\[\s*(?:\.\.\.|…)\s*\]|\s(?:\.\.\.|…)\s/;
/** No date, amount or name reads across this, so pieces from two places never make one value. */
const omitted = " <omitted> ";
const omissionsMax = 20;
const partialHitsMax = 1_000;

export function indexSource(source: SourceDocument): SourceIndex {
  return { source_id: source.source_id, text: source.text, folded: foldText(source.text) };
}

/** Finds a quote. One with omission marks is found when all its pieces are; its span covers them all. */
export function findQuote(index: SourceIndex, quote: string): Found | null {
  const whole = findPiece(index, quote, 0);
  if (whole) return { ...evidence(index, whole), elided: false };
  const pieces = splitOmissions(quote);
  if (pieces.length < 2 || pieces.length > omissionsMax) return null;
  const hits: Hit[] = [];
  for (const piece of pieces) {
    // Expert labels quote a definition after its use, so a piece may also stand before the last one.
    const hit = findPiece(index, piece, hits.at(-1)?.next ?? 0) ?? findPiece(index, piece, 0);
    if (!hit) return null;
    hits.push(hit);
  }
  const start = Math.min(...hits.map((hit) => hit.start));
  const end = Math.max(...hits.map((hit) => hit.end));
  return { ...evidence(index, { start, end }), elided: true };
}

/** The pieces of a quote between its omission marks. */
export function splitOmissions(quote: string): string[] {
  return quote.split(omission).filter((piece) => piece.trim() !== "");
}

/** Checks that each quote stands in its source, and that each value is what its quote says. */
export function checkGrounding(
  fields: readonly GroundedField[],
  indexes: ReadonlyMap<string, SourceIndex>,
): Finding[] {
  return fields.flatMap((field) => checkField(field, indexes.get(field.extracted.source_id)));
}

export function indexSources(sources: readonly SourceDocument[]): ReadonlyMap<string, SourceIndex> {
  return new Map(sources.map((source) => [source.source_id, indexSource(source)]));
}

function checkField(field: GroundedField, index: SourceIndex | undefined): Finding[] {
  const { path, extracted } = field;
  if (!index) {
    const message = `No source is called "${clip(extracted.source_id)}".`;
    const repairHint = "Use the source_id of one of the given documents.";
    return [{ path: `${path}.source_id`, code: "source_unknown", severity: "error", message, repairHint }];
  }
  const found = findQuote(index, extracted.quote);
  if (!found) {
    const message = `The quote "${clip(extracted.quote)}" does not stand in ${index.source_id}.`;
    const repairHint = "Copy the words from the document exactly, without omissions.";
    return [{ path: `${path}.quote`, code: "quote_not_in_source", severity: "error", message, repairHint }];
  }
  const { elided, ...span } = found;
  const findings = compareFinding(field, span, elided);
  if (elided) {
    const message = `The quote "${clip(extracted.quote)}" leaves words out; each of its pieces was found.`;
    findings.push({ path: `${path}.quote`, code: "quote_elided", severity: "warn", message, evidence: span });
  }
  return findings;
}

function compareFinding(field: GroundedField, span: Evidence, elided: boolean): Finding[] {
  const { extracted } = field;
  const comparison = field.compare(elided ? splitOmissions(extracted.quote).join(omitted) : extracted.quote);
  const value = clip(typeof extracted.value === "string" ? extracted.value : JSON.stringify(extracted.value));
  const quote = clip(extracted.quote);
  const at = { path: `${field.path}.value`, evidence: span };
  switch (comparison.status) {
    case "equal":
      return [];
    case "differs": {
      const stated = comparison.stated.map(clip).join(" and ");
      const message = `The value is ${value}, but its quote "${quote}" says ${stated}.`;
      const repairHint = `Read the value from the quote, or quote the words that state ${value}.`;
      return [{ ...at, code: "value_differs_from_quote", severity: "error", message, repairHint }];
    }
    case "one_of_several": {
      const message = `The quote "${quote}" states ${comparison.stated.map(clip).join(" and ")}.`;
      const repairHint = "Quote only the words that state this value.";
      return [{ ...at, code: "several_values_in_quote", severity: "warn", message, repairHint }];
    }
    case "ambiguous": {
      const message = `The quote "${quote}" can be read as ${comparison.readings.join(" or ")}.`;
      return [{ ...at, code: "ambiguous_date", severity: "error", message }];
    }
    case "unreadable": {
      const message = `The quote "${quote}" does not state a value that can be compared with ${value}.`;
      const repairHint = "Quote the words that state the value itself.";
      const severity = field.unreadable ?? "error";
      return [{ ...at, code: "value_not_in_quote", severity, message, repairHint }];
    }
  }
}

interface Hit {
  start: number;
  end: number;
  /** Where in the folded text the next piece may begin. */
  next: number;
}

function findPiece(index: SourceIndex, piece: string, from: number): Hit | null {
  const { text, startOf, endOf } = index.folded;
  const needle = foldText(piece).text.trim();
  if (needle === "") return null;
  let at = text.indexOf(needle, from);
  // A hit that cuts a character in two ("e" of a decomposed "é") is not the quote; the next one may be.
  for (let tries = 0; at >= 0 && tries < partialHitsMax; tries += 1) {
    const last = at + needle.length - 1;
    const wholeStart = at === 0 || startOf(at) !== startOf(at - 1);
    const wholeEnd = last === text.length - 1 || startOf(last) !== startOf(last + 1);
    if (wholeStart && wholeEnd) return { start: startOf(at), end: endOf(last), next: last + 1 };
    at = text.indexOf(needle, at + 1);
  }
  return null;
}

function evidence(index: SourceIndex, { start, end }: { start: number; end: number }): Evidence {
  return { source_id: index.source_id, start, end };
}
