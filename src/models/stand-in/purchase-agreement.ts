import { findDates } from "./dates.ts";
import { findLabelled } from "./labelled.ts";
import { findAmounts } from "./money.ts";
import { findAddress, findParty } from "./names.ts";
import {
  type Care,
  type Found,
  matchesOf,
  paragraphAt,
  type Reading,
  type Span,
  sentenceAt,
} from "./reading.ts";

export interface FoundContingency extends Found<string> {
  kind: string;
}

const labels = {
  purchase_price: [
    /\b(?:purchase|sales?)\s+price\b/gi,
    /\b(?:agreed|total|contract)\s+(?:price|consideration|sum)\b/gi,
    /\bfor\s+the\s+(?:sum|price|amount)\s+of\b/gi,
    /\bprice\b/gi,
    /\bconsideration\b/gi,
  ],
  earnest_money: [
    /\bearnest\s+money\b/gi,
    /\b(?:good[\s-]faith|initial|escrow)\s+deposit\b/gi,
    /\bdeposit\b/gi,
    /\bdown\s+payment\b/gi,
  ],
  offer_date: [
    /\b(?:offer\s+date|date\s+of\s+(?:this\s+)?offer)\b/gi,
    /\b(?:made|entered\s+into|executed)\b[^.;]{0,40}?\b(?:as\s+of|on|this)\b/gi,
    /\boffer\s+(?:is\s+|was\s+)?(?:made|dated|submitted|presented)\b/gi,
    /\bdated\b/gi,
    /\b(?:contract|agreement|effective)\s+date\b/gi,
    /^[ \t]*date\s*:/gim,
  ],
  closing_date: [
    /\bclosing\s+date\b/gi,
    /\bclosing\s+shall\s+(?:occur|take\s+place|be\s+held)\b/gi,
    /\b(?:date\s+of\s+closing|close\s+of\s+escrow|closing\s+(?:will|is\s+to|must|to)\b|settlement\s+date)/gi,
    /\b(?:closing|settlement|completion)\b/gi,
    /\b(?:close|closed|settle|consummated|transfer\s+of\s+title)\b/gi,
  ],
};

const contingencies: readonly (readonly [kind: string, label: RegExp])[] = [
  ["inspection", /\b(?:inspections?|due\s+diligence)\b/gi],
  ["financing", /\b(?:financing|mortgage|loan)\b/gi],
  ["appraisal", /\bapprais(?:al|ed)\b/gi],
  [
    "title",
    /\btitle\s+(?:review|search|examination|commitment|objections?|contingency|report)\b|\btitle\b/gi,
  ],
  ["insurance", /\binsurance\b/gi],
  ["sale_of_home", /\bsale\s+of\s+(?:the\s+)?(?:buyer|purchaser)[’']?s?\b|\bhome[\s-]sale\b/gi],
  ["attorney_review", /\battorney[\s-](?:review|approval)\b/gi],
  ["survey", /\bsurvey\b/gi],
  ["hoa", /\b(?:hoa|homeowners[’']?\s+association|condominium\s+documents)\b/gi],
];

/** What a purchase agreement says about each asked field, by rules. */
export function readPurchaseAgreement(text: string, care: Care) {
  const dates = findDates(text);
  const amounts = findAmounts(text);
  const labelled =
    <V>(field: keyof typeof labels, readings: readonly Reading<V>[]) =>
    () =>
      findLabelled({ text, labels: labels[field], readings, care });
  return {
    buyer_name: () => findParty(text, ["buyer", "purchaser", "vendee", "offeror"], care),
    seller_name: () => findParty(text, ["seller", "vendor", "owner", "offeree"], care),
    property_address: () => findAddress(text),
    purchase_price: labelled("purchase_price", amounts),
    earnest_money: labelled("earnest_money", amounts),
    offer_date: labelled("offer_date", dates),
    closing_date: labelled("closing_date", dates),
    contingency_dates: () => findContingencies(text, dates, care),
  };
}

const contingent =
  /\b(?:contingen\w+|condition\w*|period|deadline|obtain|waive[rds]*|remov\w+|complete[ds]?|object\w*|approv\w+)\b/i;
/** `4. Inspection Contingency. Deadline: ...`: the heading gives the kind, the paragraph the date. */
const headingCharacters = 60;

function findContingencies(text: string, dates: readonly Reading<string>[], care: Care): FoundContingency[] {
  const found: { at: number; contingency: FoundContingency }[] = [];
  for (const [kind, label] of contingencies) {
    for (const match of matchesOf(text, label)) {
      const sentence = sentenceAt(text, match.index);
      const paragraph = paragraphAt(text, match.index);
      const heading = text.slice(paragraph.start, paragraph.start + headingCharacters);
      const span = /contingen|condition/i.test(heading) && heading.search(label) >= 0 ? paragraph : sentence;
      const inside = dates.filter((d) => d.start >= span.start && d.end <= span.end);
      const date = inside.find((d) => d.start >= match.index) ?? inside.at(-1);
      if (date === undefined || !contingent.test(text.slice(span.start, span.end))) continue;
      const quote = care === "quick" ? sentenceAt(text, hasty(inside, match, date).start) : date;
      const ambiguous = inside.length > 1;
      const words = text.slice(quote.start, quote.end);
      found.push({ at: date.start, contingency: { kind, value: date.value, quote: words, ambiguous } });
      break;
    }
  }
  return found.sort((a, b) => a.at - b.at).map(({ contingency }) => contingency);
}

/** The slip of `findLabelled` again: among several dates, the sentence that names the contingency is quoted. */
const hasty = (inside: readonly Span[], match: RegExpExecArray, date: Span): Span =>
  inside.length > 1 ? { start: match.index, end: match.index } : date;
