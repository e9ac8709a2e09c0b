import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One contract of the CUAD development split. */
export interface CuadContract {
  file: string;
  text: string;
  /** The labelled spans of each category. */
  spans: (category: string) => string[];
  /** The label's normalised answer. */
  answer: (category: string) => string;
}

export const categories = [
  "Document Name",
  "Parties",
  "Agreement Date",
  "Effective Date",
  "Expiration Date",
  "Renewal Term",
  "Notice Period to Terminate Renewal",
  "Governing Law",
] as const;

export function readCuad(directory: string): CuadContract[] {
  const [header = [], ...rows] = parseCsv(readFileSync(join(directory, "labels.csv"), "utf8"));
  return rows.map((row) => {
    const cell = (name: string): string => row[header.indexOf(name)] ?? "";
    const file = cell("file");
    return {
      file,
      text: readFileSync(join(directory, "txt", file), "utf8"),
      spans: (category) => parsePythonList(cell(category)),
      answer: (category) => cell(`${category}-Answer`),
    };
  });
}

/** RFC 4180: quoted fields, doubled quotes, line breaks inside quotes. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === ",") {
      row.push(field);
      field = "";
    } else if (character === "\n") {
      rows.push([...row, field]);
      row = [];
      field = "";
    } else if (character !== "\r") field += character;
  }
  return field !== "" || row.length > 0 ? [...rows, [...row, field]] : rows;
}

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

/** A Python list literal of strings, as `repr` writes it. */
export function parsePythonList(literal: string): string[] {
  const items: string[] = [];
  for (const [whole, , body = ""] of literal.matchAll(/(['"])((?:\\.|(?!\1)[^\\])*)\1/gs)) {
    if (whole.length >= 2) items.push(body.replace(/\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.))/gs, unescaped));
  }
  return items;
}

function unescaped(_whole: string, byte?: string, unit?: string, other?: string): string {
  const hex = byte ?? unit;
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
  return escapes[other ?? ""] ?? other ?? "";
}
