import { type Care, type Found, lineAt, matchesOf, paragraphAt, trim } from "./reading.ts";

/** What the parties are called: the first is what a quick look knows. */
export type Roles = readonly string[];

const openQuote = "[\"“”'‘]";
/** `("Seller")`, `(hereinafter called "Seller")`, `(collectively, the "Seller")` */
const definition = (role: string): string =>
  `\\(\\s*(?:(?:hereinafter|herein|collectively|together|jointly|individually)[,\\s]*)*(?:and\\s+severally[,\\s]*)?(?:called|referred\\s+to\\s+(?:herein\\s+)?as)?[,\\s]*(?:the\\s+)?${openQuote}?${role}(?:s|\\(s\\))?[,.]?${openQuote}?[^)]{0,40}\\)`;

/** Finds who plays a role: by a `Role: NAME` line, or by the definition behind the name. */
export function findParty(text: string, roles: Roles, care: Care): Found<string> | undefined {
  const known = care === "quick" ? roles.slice(0, 1) : roles;
  const found: Found<string>[] = [];
  for (const role of known) {
    found.push(...byLine(text, role), ...byDefinition(text, role));
    if (care === "careful") found.push(...byPhrase(text, role));
  }
  const [first] = found;
  if (first === undefined) return undefined;
  return { ...first, ambiguous: new Set(found.map((f) => fold(f.value))).size > 1 };
}

function byLine(text: string, role: string): Found<string>[] {
  const label = new RegExp(
    `^[ \\t*|#\\d.)-]*(?:name\\s+of\\s+)?${role}(?:s|\\(s\\))?(?:['’]s?)?(?:\\s+(?:full\\s+|legal\\s+)*names?)?\\**\\s*(?::|\\|)\\**[ \\t|]*`,
    "gim",
  );
  return matchesOf(text, label).flatMap((match) => {
    const start = match.index + match[0].length;
    // The name stands behind the label, or on the next line where the form leaves this one empty.
    const line = lineAt(text, start);
    return nameAtStart(text, start, Math.max(line.end, start));
  });
}

const partyOpening =
  /\bby\s+and\s+(?:between|among)\b:?|\b(?:between|among|from|to|undersigned|parties)\b[:,]?|[)]\s*,?\s*and\b|(?:^|\n)\s*\(?[a-z0-9]{1,3}[.)]\s/gi;

function byDefinition(text: string, role: string): Found<string>[] {
  return matchesOf(text, new RegExp(definition(role), "gi")).flatMap((match) => {
    const paragraph = paragraphAt(text, match.index);
    const before = text.slice(paragraph.start, match.index);
    // A name begins behind what opened the list of parties, or behind the party before it.
    const opens = matchesOf(before, partyOpening).at(-1);
    const start = paragraph.start + (opens === undefined ? 0 : opens.index + opens[0].length);
    return nameAtStart(text, start, match.index);
  });
}

/** `Jane Roe, as Buyer`; `the Buyer is Jane Roe`; `Buyer, Jane Roe, agrees` */
function byPhrase(text: string, role: string): Found<string>[] {
  const name = "(?<name>[A-Z][\\p{L}.'’&-]+(?:\\s+(?:and|&|of|de|van|von|[A-Z][\\p{L}.'’&-]*)){1,7})";
  const patterns = [
    new RegExp(`${name},?\\s+as\\s+(?:the\\s+)?${role}\\b`, "gu"),
    new RegExp(`\\b${role}\\s+(?:is|shall\\s+be|means)\\s+${name}`, "gu"),
    new RegExp(`\\b${role},\\s+${name},`, "gu"),
  ];
  return patterns.flatMap((pattern) =>
    matchesOf(text, pattern).flatMap((match) => {
      const value = match.groups?.name;
      return value === undefined ? [] : [{ value, quote: value, ambiguous: false }];
    }),
  );
}

/** What may follow a comma and still belong to a name. */
const suffix =
  /^,?\s*(?:LLC|L\.L\.C\.|Inc\.?|Incorporated|Corp\.?|Corporation|Ltd\.?|Limited|L\.?P\.?|LLP|P\.?L\.?L\.?C\.?|PLC|N\.A\.|S\.A\.|GmbH|Co\.(?:,?\s*Ltd\.?)?|Company|Jr\.?|Sr\.?|II|III|IV|Trustees?(?:\s+of\s+[^,(;\n]+)?|as\s+Trustees?[^,(;\n]*)(?=[\s,.;(]|$)/i;
const nameCharactersMax = 200;
const suffixesMax = 3;

/** The name that begins a passage, without what describes it (`, a Delaware corporation`). */
export function nameAtStart(text: string, from: number, to: number): Found<string>[] {
  const span = trim(text, { start: from, end: Math.min(to, from + nameCharactersMax * 3) });
  const body = text.slice(span.start, span.end);
  const lead = /^(?:(?:and|the|Mr\.?|Mrs\.?|Ms\.?)\s+|[:,*|_\s]+)*/.exec(body)?.[0].length ?? 0;
  const rest = body.slice(lead);
  let end = rest.search(
    /,|;|\(|\||\n\s*\n|(?<![\n \t])[ \t]{3,}|\*\*|\.\s+[A-Z][a-z]+\s+[a-z]|\s+(?:whose|having|with\s+(?:an?|its)|of\s+\d|residing|an?\s+(?:single|married|individual|unmarried|[A-Z][a-z]+\s+(?:limited|corporation|general)))\b/,
  );
  if (end < 0) end = rest.length;
  for (let n = 0; n < suffixesMax; n++) {
    const more = suffix.exec(rest.slice(end));
    if (more === null) break;
    end += more[0].length;
  }
  const value = rest
    .slice(0, end)
    .trim()
    .replace(/[\s:,]+$/, "");
  if (value.length < 2 || value.length > nameCharactersMax || !/^[\p{Lu}\d"“]/u.test(value)) return [];
  return [{ value: value.replaceAll(/\s+/g, " "), quote: value, ambiguous: false }];
}

const fold = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^\p{L}\d]+/gu, " ")
    .trim();

const addressLabels = [
  /^[ \t*|\d.)-]*(?:the\s+)?(?:property|street|site)\s+address(?:\s+of\s+property)?\**\s*[:|]\**\s*/gim,
  /^[ \t*|\d.)-]*(?:the\s+)?(?:property|premises|real\s+property|address)\**\s*[:|]\**\s*/gim,
  /\bcommonly\s+known\s+as:?\s*/gi,
  /\b(?:located|situated|situate|lying)\s+(?:at|in):?\s*/gi,
  /\b(?:property|premises|residence|home|house|real\s+estate)\s+(?:at|known\s+as):?\s*/gi,
  /\baddress\s+(?:is|of\s+which\s+is):?\s*/gi,
];
const fullAddress =
  /^[^;()\d]{0,40}\d{1,6}\s[^;()]{3,140}?\b(?:[A-Z]{2}|(?:[A-Z][a-z]+\s+)?[A-Z][a-z]+),?\s+\d{5}(?:-\d{4})?\b/;

/** Finds the address of the property. */
export function findAddress(text: string): Found<string> | undefined {
  for (const label of addressLabels) {
    for (const match of matchesOf(text, label)) {
      const start = match.index + match[0].length;
      const rest = text.slice(start, paragraphAt(text, start).end);
      const loose =
        /^\d{1,6}\s[^;()\n]{5,120}?(?=[;(\n]|\.\s|\.$|,\s+(?:together|legally|more|and|in\s+the)\b|$)/;
      const quote = fullAddress.exec(rest)?.[0] ?? loose.exec(rest)?.[0];
      if (quote === undefined) continue;
      const clean = quote.slice(Math.max(0, quote.search(/\d/))).trim();
      return { value: clean.replaceAll(/\s+/g, " "), quote: clean, ambiguous: false };
    }
  }
  return undefined;
}
