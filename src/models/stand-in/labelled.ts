import {
  type Care,
  type Found,
  matchesOf,
  paragraphAt,
  type Reading,
  type Span,
  sentenceAt,
} from "./reading.ts";

export interface LabelledField<V> {
  text: string;
  /** The commonest wordings first. A quick look knows only those. */
  labels: readonly RegExp[];
  readings: readonly Reading<V>[];
  care: Care;
  /** The earlier in the text, the likelier: a contract's own date is in its first lines. */
  early?: boolean;
}

/** Finds the value that belongs to a label. */
export function findLabelled<V>(field: LabelledField<V>): Found<V> | undefined {
  return field.care === "quick" ? nearParagraph(field) : nearLabel(field);
}

/** How many of the wordings a quick look knows. */
const quickLabels = 2;

/**
 * The typical slip of a hasty reader, kept on purpose so that there is something to repair: where a paragraph states
 * several values, the quote is the sentence with the label, but the value is the first one of the paragraph.
 */
function nearParagraph<V>({ text, labels, readings }: LabelledField<V>): Found<V> | undefined {
  for (const match of labels.slice(0, quickLabels).flatMap((label) => matchesOf(text, label))) {
    const paragraph = paragraphAt(text, match.index);
    const inside = readings.filter((r) => r.start >= paragraph.start && r.end <= paragraph.end);
    const line = sentenceAt(text, match.index);
    const [first] = isForm(text, line)
      ? inside.filter((r) => r.start >= line.start && r.end <= line.end)
      : inside;
    if (first === undefined) continue;
    const ambiguous = distinct(inside) > 1;
    const quote = ambiguous ? line : sentenceAt(text, first.start);
    return { value: first.value, quote: text.slice(quote.start, quote.end), ambiguous };
  }
  return undefined;
}

/** In a list of `label: value` lines nobody mistakes the neighbour's value for this one. */
const isForm = (text: string, { start, end }: Span): boolean =>
  !text.slice(start, end).includes("\n") && /^[^:]{2,60}:\s/.test(text.slice(start, end));

const reachCharacters = 220;
const labelRankPenalty = 60;
/** Worse than any distance within reach: a value with another value in between belongs to that other one's label. */
const otherSentencePenalty = 120;
const charactersPerEarlyPoint = 10;

function nearLabel<V>({ text, labels, readings, early }: LabelledField<V>): Found<V> | undefined {
  const candidates = labels.flatMap((label, rank) =>
    matchesOf(text, label).flatMap((match) => {
      const best = nearest(text, match, readings);
      const lateness = early === true ? match.index / charactersPerEarlyPoint : 0;
      return best === undefined ? [] : [{ ...best, score: best.score + rank * labelRankPenalty + lateness }];
    }),
  );
  candidates.sort((a, b) => a.score - b.score || a.reading.start - b.reading.start);
  const [best] = candidates;
  if (best === undefined) return undefined;
  const rivals = candidates.filter((c) => c.score <= best.score + labelRankPenalty).map((c) => c.reading);
  return {
    value: best.reading.value,
    quote: text.slice(best.reading.start, best.reading.end),
    ambiguous: distinct(rivals) > 1,
  };
}

/** `March 3, 2027 (the "Closing Date")`: what may stand between a value and its name. */
const definitionGap =
  /^[\s,)]*(?:\((?:the|hereinafter|herein)?[\s,]*(?:called|referred to as)?\s*(?:the)?\s*["“”']*|shall be the\s*["“”']*|is the\s*["“”']*)$/i;

function nearest<V>(text: string, match: RegExpExecArray, readings: readonly Reading<V>[]) {
  const end = match.index + match[0].length;
  const sentence = sentenceAt(text, match.index);
  let best: { reading: Reading<V>; score: number } | undefined;
  const defined = readings.findLast((r) => r.end <= match.index);
  if (defined !== undefined && definitionGap.test(text.slice(defined.end, match.index)))
    return { reading: defined, score: 0 };
  const within = readings.find((r) => r.start < end && r.end > match.index);
  if (within !== undefined) return { reading: within, score: 0 };
  const paragraph = paragraphAt(text, match.index);
  const following = readings.find((r) => r.start >= end);
  const reach = Math.min(end + reachCharacters, paragraph.end);
  if (following !== undefined && following.start < reach) {
    const score = following.start - end + (following.end <= sentence.end + 1 ? 0 : otherSentencePenalty);
    best = { reading: following, score: Math.max(1, score) };
  }
  const preceding = readings.findLast((r) => r.end <= match.index && r.start >= sentence.start);
  if (preceding !== undefined) {
    const score = match.index - preceding.end + otherSentencePenalty / 2;
    if (best === undefined || score < best.score) best = { reading: preceding, score };
  }
  return best;
}

const distinct = (readings: readonly Reading<unknown>[]): number =>
  new Set(readings.map((reading) => JSON.stringify(reading.value))).size;
