import { readCommercialContract } from "./commercial-contract.ts";
import type { Prompt, PromptDocument, Repair } from "./prompt.ts";
import { readPurchaseAgreement } from "./purchase-agreement.ts";
import type { Care, Found } from "./reading.ts";

type Field = Found<unknown> | undefined | readonly Found<unknown>[];
type Reader = (text: string, care: Care) => Readonly<Record<string, () => Field>>;

const readers: Readonly<Record<Exclude<Prompt["task"], "chat">, Reader>> = {
  purchase_agreement: readPurchaseAgreement,
  commercial_contract: readCommercialContract,
};

/** The stand-in's answer: found in the prompt by rules, the same for the same prompt. */
export function answerTo(prompt: Prompt): string {
  if (prompt.task === "chat") return echo(prompt.lastUserText);
  return JSON.stringify(extract(readers[prompt.task], prompt.documents, prompt.repair));
}

const echoCharacters = 160;

function echo(text: string): string {
  const flat = text.replaceAll(/\s+/g, " ").trim();
  const words = flat === "" ? 0 : flat.split(" ").length;
  const shown = flat.length > echoCharacters ? `${flat.slice(0, echoCharacters)}…` : flat;
  return `This is a stand-in, not a language model. It read ${words} ${words === 1 ? "word" : "words"}: "${shown}"`;
}

function extract(reader: Reader, documents: readonly PromptDocument[], repair: Repair | undefined) {
  const care: Care = repair === undefined ? "quick" : "careful";
  const names = Object.keys(reader("", care));
  const answer: Record<string, unknown> = {};
  let ambiguous = 0;
  for (const name of names) {
    const kept = repair !== undefined && !repair.fields.includes(name);
    if (kept && repair.previous[name] !== undefined) {
      answer[name] = repair.previous[name];
      if (firstFound(reader, documents, name, "quick")?.ambiguous === true) ambiguous++;
    }
    if (kept) continue;
    const found = firstFound(reader, documents, name, care);
    if (found === undefined) continue;
    answer[name] = found.written;
    if (found.ambiguous) ambiguous++;
  }
  return { ...answer, confidence: confidenceOf(Object.keys(answer).length, ambiguous, names.length) };
}

/** The document that states the field first; several documents are several chances. */
function firstFound(reader: Reader, documents: readonly PromptDocument[], name: string, care: Care) {
  for (const { id, text } of documents) {
    const found = reader(text, care)[name]?.();
    if (found === undefined) continue;
    if (isList(found)) {
      if (found.length === 0) continue;
      return { written: found.map((one) => written(one, id)), ambiguous: found.some((one) => one.ambiguous) };
    }
    return { written: written(found, id), ambiguous: found.ambiguous };
  }
  return undefined;
}

const isList = (field: Exclude<Field, undefined>): field is readonly Found<unknown>[] => Array.isArray(field);

function written({ ambiguous: _, ...found }: Found<unknown>, source_id: string) {
  return { ...found, source_id };
}

/** Half the weight of a field that could have been read in two ways. */
const ambiguityWeight = 0.5;

/** The share of the expected fields that were found, less for each one that could have been another. */
function confidenceOf(found: number, ambiguous: number, expected: number): number {
  return Math.round(((found - ambiguityWeight * ambiguous) / expected) * 100) / 100;
}
