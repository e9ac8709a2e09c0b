/** Folded text, and for each of its code units the span of the original it came from. */
export interface FoldedText {
  text: string;
  startOf: (at: number) => number;
  endOf: (at: number) => number;
}

const dropped = 0;
const space = 0x20;
const hyphen = 0x2d;
const quote = 0x22;
const apostrophe = 0x27;

/** Code units with one folded form. NFKD is not asked about these: it would turn an acute accent into a space. */
const folds = new Map<number, number>([
  ...units("\t\n\v\f\r\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000", space),
  ...range(0x2000, 0x200a, space),
  ...units("‐‑‒–—―−﹘﹣-⁃", hyphen),
  ...units("“”„‟″«»＂", quote),
  ...units("‘’‚‛′´`ʼ＇", apostrophe),
  ...units("\u00ad\u200b\u200c\u200d\u2060\ufeff", dropped),
]);
const mark = /^\p{M}$/u;
// What folding changes; all else is copied as it stands. A loop over every character took 33 ms for a contract of 107 kB
// on first use, this takes 1 to 2.
const foldable = /[^\x20-\x5f\x61-\x7e][^\x21-\x2c\x2e-\x5f\x61-\x7e]*| {2,}|-{2,}/g;

/**
 * Folds text so that two renderings of the same words are equal: Unicode compatibility forms, runs of white space, runs
 * of dashes, quotation marks, and invisible characters. Decomposed (NFKD) instead of composed (NFKC): two texts are equal
 * under one exactly when they are under the other, and decomposing never joins characters, so offsets stay exact.
 */
export function foldText(original: string): FoldedText {
  const out = new Folding();
  let copied = 0;
  for (const match of original.matchAll(foldable)) {
    const end = match.index + match[0].length;
    // A mark changes the plain character before it.
    const start = match.index > copied && isMarkAt(original, match.index) ? match.index - 1 : match.index;
    out.copy(original, copied, start);
    foldRun(out, original, start, end);
    copied = end;
  }
  out.copy(original, copied, original.length);
  return out.done();
}

function foldRun(out: Folding, original: string, start: number, runEnd: number): void {
  let at = start;
  while (at < runEnd) {
    const end = clusterEnd(original, at);
    const unit = original.charCodeAt(at);
    const alone = folds.get(unit) ?? (unit < 0x80 && end === at + 1 ? unit : undefined);
    if (alone === undefined) out.pushCluster(original.slice(at, end).normalize("NFKD"), at, end);
    else if (alone !== dropped) out.push(alone, at, at + 1);
    at = alone === undefined ? end : at + 1;
  }
}

/** A text as one would compare names: folded, without case, punctuation as spaces. */
export function foldName(name: string): string {
  return foldText(name)
    .text.toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}]+/gu, " ")
    .trim();
}

/** Whether the words of `part` stand next to each other in `whole`, as whole words. */
export function containsName(whole: string, part: string): boolean {
  const words = foldName(part);
  return words !== "" && ` ${foldName(whole)} `.includes(` ${words} `);
}

const clipLength = 120;

/** A text short enough for a message. */
export function clip(text: string): string {
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length <= clipLength ? flat : `${flat.slice(0, clipLength - 1)}…`;
}

/** The end of the character at `at` together with the marks that change it. */
function clusterEnd(text: string, at: number): number {
  let end = at + width(text, at);
  while (end < text.length && isMarkAt(text, end)) end += width(text, end);
  return end;
}

function isMarkAt(text: string, at: number): boolean {
  return text.charCodeAt(at) >= 0x300 && mark.test(text.slice(at, at + width(text, at)));
}

function width(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

/** Folded text in the making: pieces, each either copied unit by unit or one unit made of a span of the original. */
class Folding {
  private readonly pieces: string[] = [];
  private readonly foldedAt: number[] = [];
  private readonly starts: number[] = [];
  /** The end of the span that one folded unit stands for; 0 for a copied piece. */
  private readonly ends: number[] = [];
  private length = 0;
  private last = dropped;

  copy(original: string, start: number, end: number): void {
    if (start >= end) return;
    this.add(original.slice(start, end), start, 0);
    this.last = original.charCodeAt(end - 1);
  }

  push(unit: number, start: number, end: number): void {
    if (this.repeats(unit)) return;
    this.add(String.fromCharCode(unit), start, end);
    this.last = unit;
  }

  pushCluster(decomposed: string, start: number, end: number): void {
    for (let at = 0; at < decomposed.length; at += 1) {
      const unit = decomposed.charCodeAt(at);
      const folded = folds.get(unit) ?? unit;
      if (folded !== dropped) this.push(folded, start, end);
    }
  }

  done(): FoldedText {
    const { foldedAt, starts, ends } = this;
    const copiedBy = (piece: number, at: number): number => at - (foldedAt[piece] ?? 0);
    const startOf = (at: number): number => {
      const piece = pieceAt(foldedAt, at);
      const start = starts[piece] ?? 0;
      return ends[piece] === 0 ? start + copiedBy(piece, at) : start;
    };
    const endOf = (at: number): number => {
      const piece = pieceAt(foldedAt, at);
      return ends[piece] || (starts[piece] ?? 0) + copiedBy(piece, at) + 1;
    };
    return { text: this.pieces.join(""), startOf, endOf };
  }

  private repeats(unit: number): boolean {
    return unit === this.last && (unit === space || unit === hyphen);
  }

  private add(piece: string, start: number, end: number): void {
    this.pieces.push(piece);
    this.foldedAt.push(this.length);
    this.starts.push(start);
    this.ends.push(end);
    this.length += piece.length;
  }
}

/** The last piece that begins at or before a folded offset. */
function pieceAt(foldedAt: readonly number[], at: number): number {
  let low = 0;
  let high = foldedAt.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((foldedAt[middle] ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function units(characters: string, folded: number): [number, number][] {
  return [...characters].map((character) => [character.charCodeAt(0), folded]);
}

function range(first: number, last: number, folded: number): [number, number][] {
  return Array.from({ length: last - first + 1 }, (_, step) => [first + step, folded]);
}
