/** Folded text, and for each of its code units the span of the original it came from. */
export interface FoldedText {
  text: string;
  starts: Uint32Array;
  ends: Uint32Array;
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
const runChunk = 8_192;

/**
 * Folds text so that two renderings of the same words are equal: Unicode compatibility forms, runs of white space, runs
 * of dashes, quotation marks, and invisible characters. Decomposed (NFKD) instead of composed (NFKC): two texts are equal
 * under one exactly when they are under the other, and decomposing never joins characters, so offsets stay exact.
 */
export function foldText(original: string): FoldedText {
  const out = new Folding(original.length);
  let at = 0;
  while (at < original.length) {
    const unit = original.charCodeAt(at);
    const folded = unit < 0x80 && unit > 0x20 && unit !== 0x60 ? unit : folds.get(unit);
    if ((folded === undefined && unit >= 0x80) || isMarked(original, at)) {
      const end = clusterEnd(original, at);
      out.pushCluster(original.slice(at, end).normalize("NFKD"), at, end);
      at = end;
      continue;
    }
    if (folded !== dropped) out.push(folded ?? unit, at, at + 1);
    at += 1;
  }
  return out.done();
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

/** Whether marks follow that change the character at `at`. White space takes none: it folds by itself. */
function isMarked(text: string, at: number): boolean {
  if (text.charCodeAt(at + 1) < 0x300 || text.charCodeAt(at) <= 0x20 || at + 1 >= text.length) return false;
  return !folds.has(text.charCodeAt(at)) && mark.test(text.slice(at + 1, at + 1 + width(text, at + 1)));
}

/** The end of the character at `at` together with the marks that change it. */
function clusterEnd(text: string, at: number): number {
  let end = at + width(text, at);
  while (end < text.length && text.charCodeAt(end) >= 0x300) {
    const next = end + width(text, end);
    if (!mark.test(text.slice(end, next))) break;
    end = next;
  }
  return end;
}

function width(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

class Folding {
  private units: Uint16Array;
  private starts: Uint32Array;
  private ends: Uint32Array;
  private length = 0;

  constructor(capacity: number) {
    this.units = new Uint16Array(capacity);
    this.starts = new Uint32Array(capacity);
    this.ends = new Uint32Array(capacity);
  }

  push(unit: number, start: number, end: number): void {
    if ((unit === space || unit === hyphen) && this.units[this.length - 1] === unit) {
      this.ends[this.length - 1] = end;
      return;
    }
    if (this.length === this.units.length) this.grow();
    this.units[this.length] = unit;
    this.starts[this.length] = start;
    this.ends[this.length] = end;
    this.length += 1;
  }

  pushCluster(decomposed: string, start: number, end: number): void {
    for (let at = 0; at < decomposed.length; at += 1) {
      const unit = decomposed.charCodeAt(at);
      const folded = folds.get(unit) ?? unit;
      if (folded !== dropped) this.push(folded, start, end);
    }
  }

  done(): FoldedText {
    const pieces: string[] = [];
    for (let at = 0; at < this.length; at += runChunk) {
      pieces.push(String.fromCharCode(...this.units.subarray(at, Math.min(at + runChunk, this.length))));
    }
    const starts = this.starts.subarray(0, this.length);
    return { text: pieces.join(""), starts, ends: this.ends.subarray(0, this.length) };
  }

  private grow(): void {
    const capacity = this.units.length * 2 + 64;
    const larger = {
      units: new Uint16Array(capacity),
      starts: new Uint32Array(capacity),
      ends: new Uint32Array(capacity),
    };
    larger.units.set(this.units);
    larger.starts.set(this.starts);
    larger.ends.set(this.ends);
    this.units = larger.units;
    this.starts = larger.starts;
    this.ends = larger.ends;
  }
}

function units(characters: string, folded: number): [number, number][] {
  return [...characters].map((character) => [character.charCodeAt(0), folded]);
}

function range(first: number, last: number, folded: number): [number, number][] {
  return Array.from({ length: last - first + 1 }, (_, step) => [first + step, folded]);
}
