// A long text kept in parts, so that a text which is stored again with a little more at its end costs that little. Parts
// are cut where the content says so: a change moves no cut but those beside it. The list of parts is cut in the same way,
// level by level, so that a manifest stays small. holdfast.whole() in the database puts a text together again.
import { createHash } from "node:crypto";

/** A shorter text is stored as it is. */
export const wholeCharsMax = 8_192;
const partCharsMin = 256;
const partCharsMax = 4_096;
/** Beyond the minimum a part goes on for 2^10 characters on the average. */
const boundaryBits = 10;
/** The rolling hash forgets what lies further back than it has bits. */
const windowChars = 32;
const childrenMin = 4;
const childrenMax = 64;
/** 15 bytes of a SHA-256, which in base64 need no padding. */
const hashChars = 20;
/** One hash in sixteen ends a node. */
const nodeEnds = "ABCD";

/** What is stored under its hash: a piece of a text, or a node, which lists the hashes of the level below. */
export interface Part {
  hash: string;
  data: string;
}

/** Where a text was cut. What follows the last cut is no part yet. */
export interface Cut {
  readonly text: string;
  readonly ends: readonly number[];
  readonly hashes: readonly string[];
}

/** A text in its stored form. */
export interface Manifest {
  readonly text: string;
  /** The parts it names itself. */
  readonly refs: readonly string[];
  /** Of each node. */
  readonly children: ReadonlyMap<string, readonly string[]>;
  /** The piece of that hash. */
  piece(hash: string): string;
}

/** Parts on their way into the database, in the statement of the texts that name them. */
export interface Sending {
  readonly parts: readonly Part[];
  /** The stored form of a text. Texts of one kind are alike: what the last one began with is not cut anew. */
  cut(kind: string, text: string): Promise<string>;
  /** Call it after the commit: these parts are not sent again. */
  committed(): void;
}

/** Parts of one thread, as its writer knows them. */
export interface ThreadParts {
  open(): Sending;
}

export const bytesOfParts = (parts: readonly Part[]): number =>
  parts.reduce((sum, { data }) => sum + data.length, 0);

/** Not of what changes while it lasts: the cuts of a text must be the same in every process. */
const gear = Int32Array.from({ length: 256 }, (_, n) =>
  createHash("sha256").update(`gear ${n}`).digest().readInt32LE(0),
);

const hashOf = (text: string): string =>
  createHash("sha256").update(text).digest("base64").slice(0, hashChars);
/** Differs from the hash of a piece with the same text: a node that is stored has all below it. */
const hashOfNode = (data: string): string => hashOf(`#${data}`);

/** Where the part that begins at `start` ends; undefined when the text goes on too shortly to tell. */
function endOf(text: string, start: number): number | undefined {
  const first = start + partCharsMin;
  const last = Math.min(start + partCharsMax, text.length);
  let rolling = 0;
  for (let end = first - windowChars + 1; end <= last; end += 1) {
    rolling = ((rolling << 1) + (gear[text.charCodeAt(end - 1) & 255] ?? 0)) | 0;
    const ends = rolling >>> (32 - boundaryBits) === 0 || end === start + partCharsMax;
    if (ends && end >= first) return splitsPair(text, end) ? end + 1 : end;
  }
  return undefined;
}

function splitsPair(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1);
  return before >= 0xd800 && before < 0xdc00 && at < text.length;
}

/** The same cuts with `before` as without it, sooner. */
export function cutText(text: string, before?: Cut): Cut {
  const old = before ?? { text: "", ends: [], hashes: [] };
  const kept = alikeAtStart(text, old);
  const ends = old.ends.slice(0, kept);
  const hashes = old.hashes.slice(0, kept);
  const shift = text.length - old.text.length;
  let next = alikeAtEnd(text, old);
  let start = ends.at(-1) ?? 0;
  for (;;) {
    const end = endOf(text, start);
    if (end === undefined) break;
    ends.push(end);
    hashes.push(hashOf(text.slice(start, end)));
    start = end;
    while ((old.ends[next] ?? Number.POSITIVE_INFINITY) + shift < end) next += 1;
    if (old.ends[next] !== end - shift) continue;
    for (const later of old.ends.slice(next + 1)) ends.push(later + shift);
    hashes.push(...old.hashes.slice(next + 1));
    break;
  }
  return { text, ends, hashes };
}

/**
 * Two slices, which V8 compares as memory: a megabyte in 0.1 ms. `startsWith`, once it is compiled, goes character by
 * character and takes fifty times as long.
 */
const isAlike = (
  text: string,
  old: string,
  at: { from: number; to: number | undefined; shift: number },
): boolean => text.slice(at.from + at.shift, (at.to ?? old.length) + at.shift) === old.slice(at.from, at.to);

/** How many of the old parts a text begins with. Most often it begins with all. */
function alikeAtStart(text: string, { text: old, ends }: Cut): number {
  let [alike, most] = [0, ends.length];
  for (let count = most; alike < most; count = (alike + most + 1) >>> 1) {
    const from = ends[alike - 1] ?? 0;
    if (isAlike(text, old, { from, to: ends[count - 1], shift: 0 })) alike = count;
    else most = count - 1;
  }
  return alike;
}

/** The first of the old cuts behind which both texts are the same. */
function alikeAtEnd(text: string, { text: old, ends }: Cut): number {
  const shift = text.length - old.length;
  const alike = (from: number, to: number): boolean =>
    from + shift >= 0 && isAlike(text, old, { from, to, shift });
  const last = ends.at(-1) ?? 0;
  if (!alike(last, old.length)) return ends.length;
  let [low, high] = [0, ends.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (alike(ends[middle] ?? 0, ends[high] ?? 0)) high = middle;
    else low = middle + 1;
  }
  return Math.max(0, high);
}

/** `#<bytes> <hashes of the top level>.….<hashes of pieces> <the rest>`: no JSON text begins like this. */
export function manifestOf({ text, ends, hashes }: Cut): Manifest {
  const children = new Map<string, readonly string[]>();
  const sections: (readonly string[])[] = [];
  for (let level = hashes; ; ) {
    const { nodes, rest } = nodesOf(level);
    sections.unshift(rest);
    if (nodes.length === 0) break;
    level = nodes.map((node) => {
      const hash = hashOfNode(node.join(","));
      children.set(hash, node);
      return hash;
    });
  }
  const listed = sections.map((section) => section.join(",")).join(".");
  return {
    text: `#${Buffer.byteLength(text, "utf8")} ${listed} ${text.slice(ends.at(-1) ?? 0)}`,
    refs: sections.flat(),
    children,
    piece(hash) {
      const n = hashes.lastIndexOf(hash);
      return n === -1 ? "" : text.slice(ends[n - 1] ?? 0, ends[n]);
    },
  };
}

function nodesOf(hashes: readonly string[]): { nodes: string[][]; rest: string[] } {
  const nodes: string[][] = [];
  let open: string[] = [];
  for (const hash of hashes) {
    open.push(hash);
    const ends = open.length >= childrenMin && nodeEnds.includes(hash.charAt(0));
    if (!ends && open.length < childrenMax) continue;
    nodes.push(open);
    open = [];
  }
  return { nodes, rest: open };
}

/** One by one the parts of a text that `known` lacks. What it has is there with all below it. */
export function* partsBeyond(manifest: Manifest, known: (hash: string) => boolean): Generator<Part> {
  const found = new Set<string>();
  const open = [...manifest.refs];
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    if (known(hash) || found.has(hash)) continue;
    const children = manifest.children.get(hash);
    found.add(hash);
    yield { hash, data: children?.join(",") ?? manifest.piece(hash) };
    open.push(...(children ?? []));
  }
}
