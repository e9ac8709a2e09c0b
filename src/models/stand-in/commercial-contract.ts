import { findDates } from "./dates.ts";
import { findLabelled } from "./labelled.ts";
import { nameAtStart } from "./names.ts";
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
    findLabelled({ text, labels: labels[field], readings, care, early: field === "agreement_date" });
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

const partyOpening =
  /\b(?:between|among)\b:?|[)"”]\s*,?\s*and\b:?|(?:^|\n)\s*and\b|;\s*and\b|(?:^|\n)\s*\(?[a-z0-9]{1,3}[.)]\s/gi;
const definedTerm = /\(\s*[^()]{0,60}?["“”'‘][^()"”]{2,60}["“”'’][^()]{0,60}\)/;
const defined = new RegExp(`(?<name>${company})[^()"“”]{0,260}?${definedTerm.source}`, "gu");
const anywhere = new RegExp(`(?<name>${company})`, "gu");
const openingCharacters = 1_500;
const describedCharacters = 400;
/** Capital words that are no part of a name. */
const noName =
  /\b(?:whereas|recitals?|agreement|parties|party|witnesseth)\b|^(?:the\s+)?(?:company|distributor|consultant|bank|supplier|customer|licensor|licensee)(?:\s+and\b.*)?$/i;

/** The parties are named behind "between", each with its defined term; a careful look also takes companies without one. */
function findParties(text: string, care: Care): Found<string>[] {
  const from = /\bbetween\b|\bamong\b/i.exec(text.slice(0, preambleCharactersMax))?.index ?? 0;
  const opening = text.slice(from, from + openingCharacters);
  const names = matchesOf(opening, partyOpening).flatMap((match) => {
    const start = match.index + match[0].length;
    if (!definedTerm.test(opening.slice(start, start + describedCharacters))) return [];
    return nameAtStart(opening, start, opening.length).map((found) => found.quote);
  });
  for (const match of matchesOf(opening, defined)) names.push(match.groups?.name?.trim() ?? "");
  const parties = distinctNames(names);
  if (care === "quick" || parties.length >= 2) return parties;
  for (const match of matchesOf(opening, anywhere)) names.push(match.groups?.name?.trim() ?? "");
  return distinctNames(names);
}

function distinctNames(names: readonly string[]): Found<string>[] {
  const found = new Map<string, Found<string>>();
  for (const name of names) {
    const quote = name.replace(/^(?:BETWEEN|AND)\s+/, "");
    const key = ` ${quote
      .toLowerCase()
      .replaceAll(/[^\p{L}\d]+/gu, " ")
      .trim()} `;
    const known = [...found.keys()].some((other) => other.includes(key) || key.includes(other));
    if (quote === "" || known || noName.test(quote) || found.size >= partiesMax) continue;
    found.set(key, { value: quote.replaceAll(/\s+/g, " "), quote, ambiguous: false });
  }
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
