import { findDates } from "./dates.ts";
import { findLabelled } from "./labelled.ts";
import { type Care, type Found, matchesOf, type Reading } from "./reading.ts";

const preambleCharactersMax = 12_000;

const labels = {
  agreement_date: [
    /\b(?:made|entered\s+into|dated|executed|signed)\b[^.;]{0,60}?\b(?:as\s+of|on|this|effective)\b/gi,
    /\bdated\b/gi,
    /\bagreement\s+date\b/gi,
    /\bas\s+of\b/gi,
  ],
  effective_date: [
    /\beffective\s+date\b/gi,
    /\b(?:become|be|is|are)?\s*effective\s+(?:as\s+of|on)\b/gi,
    /\bcommenc\w+\s+on\b/gi,
  ],
  expiration_date: [
    /\b(?:expir(?:e|es|ation\s+date|ation)|termination\s+date)\b/gi,
    /\b(?:continue|remain)\b[^.;]{0,80}?\b(?:until|through)\b/gi,
    /\b(?:terminate|end)s?\s+on\b/gi,
  ],
};

/** What a commercial contract says about each asked field, by rules. */
export function readCommercialContract(text: string, care: Care) {
  const dates = findDates(text);
  const labelled = (field: keyof typeof labels, readings: readonly Reading<string>[]) => () =>
    findLabelled({ text, labels: labels[field], readings, care });
  // A contract is dated where it begins; later "dated as of" speaks of other papers.
  const opening = dates.filter((date) => date.end <= preambleCharactersMax);
  return {
    document_name: () => findDocumentName(text),
    parties: () => findParties(text, care),
    agreement_date: labelled("agreement_date", opening.length > 0 ? opening : dates),
    effective_date: labelled("effective_date", dates),
    expiration_date: labelled("expiration_date", dates),
    governing_law: () => findGoverningLaw(text),
  };
}

const titleCharactersMax = 6_000;

function findDocumentName(text: string): Found<string> | undefined {
  const head = text.slice(0, titleCharactersMax);
  const title =
    /^[ \t]*(?<title>(?=[^\n]{4,110}$)[^\n.;:]*\b(?:AGREEMENT|CONTRACT|AMENDMENT|LEASE|LICENSE|ADDENDUM|Agreement|Contract|Amendment|Addendum)\b[^\n.;:]*?)[ \t]*$/m.exec(
      head,
    );
  const inText =
    /\b[Tt]his\s+(?<title>(?:[A-Z][\w&/-]*,?\s+){0,8}(?:Agreement|Contract|AGREEMENT|CONTRACT))/.exec(head);
  const quote = (title ?? inText)?.groups?.title?.trim();
  return quote === undefined || quote === ""
    ? undefined
    : { value: quote.replaceAll(/\s+/g, " "), quote, ambiguous: false };
}

const company =
  "[A-Z][\\w&.'’/-]*(?:,?\\s+(?:of|and|the|for|de|&|[A-Z(][\\w&.'’/)-]*)){0,9}?(?:,?\\s+(?:Inc|INC|LLC|L\\.L\\.C|Ltd|LTD|Limited|LIMITED|Corp|CORP|Corporation|CORPORATION|Company|COMPANY|Co|LLP|LP|L\\.P|N\\.A|S\\.A|GmbH|AG|B\\.V|PLC|plc|Bank|Trust)\\b\\.?)+";
const partiesMax = 12;

/** A party is a name with a defined term behind it, near the top; a careful look also takes company names without one. */
function findParties(text: string, care: Care): Found<string>[] {
  const head = text.slice(0, preambleCharactersMax);
  const defined = new RegExp(
    `(?<name>${company})[^()"“”]{0,260}?\\(\\s*[^()]{0,60}?["“”'‘][^()"”]{2,60}["“”'’][^()]{0,60}\\)`,
    "gu",
  );
  const anywhere = new RegExp(`(?<name>${company})`, "gu");
  const found = new Map<string, Found<string>>();
  const take = (pattern: RegExp, from: string) => {
    for (const match of matchesOf(from, pattern)) {
      const name = match.groups?.name?.trim();
      if (name === undefined || found.size >= partiesMax) continue;
      const key = name
        .toLowerCase()
        .replaceAll(/[^a-z\d]+/g, " ")
        .trim();
      if (!found.has(key))
        found.set(key, { value: name.replaceAll(/\s+/g, " "), quote: name, ambiguous: false });
    }
  };
  const preamble = /\bbetween\b|\bamong\b/i.exec(head);
  const opening = preamble === null ? head : head.slice(preamble.index, preamble.index + 1_500);
  take(defined, opening);
  if (care === "careful" && found.size < 2) take(anywhere, opening);
  return [...found.values()];
}

const place =
  "(?<place>(?:(?:the\\s+)?(?:State|Commonwealth|Republic|Province|People['’]s\\s+Republic)\\s+of\\s+)?(?:the\\s+)?[A-Z][a-zA-Z]+(?:\\s+(?:of\\s+)?[A-Z][a-zA-Z]+){0,3})";
const laws = [
  new RegExp(`\\b[Gg]overn[^.;]{0,160}?\\b[Ll]aws?\\s+(?:of|in)\\s+(?:force\\s+in\\s+)?${place}`, "u"),
  new RegExp(`\\b[Gg]overn[^.;]{0,120}?\\b(?:by|with)\\s+(?:the\\s+)?${place}\\s+laws?\\b`, "u"),
  new RegExp(`\\b[Ll]aws?\\s+of\\s+${place}`, "u"),
];

function findGoverningLaw(text: string): Found<string> | undefined {
  for (const pattern of laws) {
    for (const match of matchesOf(text, pattern)) {
      const quote = match.groups?.place;
      if (quote === undefined || /^(?:the\s+)?(?:United\s+States|Act|Parties)/i.test(quote)) continue;
      const value = quote
        .replaceAll(/\s+/g, " ")
        .replace(/^(?:the )?(?:State|Commonwealth|Province) of /i, "")
        .replace(/^the /, "");
      return { value, quote, ambiguous: false };
    }
  }
  return undefined;
}
