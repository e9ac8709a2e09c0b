import { findDates } from "./dates.ts";
import { findLabelled } from "./labelled.ts";
import { findAmounts } from "./money.ts";
import { findAddress, findParty } from "./names.ts";
import { type Care, type Found, matchesOf, type Reading, sentenceAt } from "./reading.ts";

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
    /\boffer\s+(?:is\s+|was\s+)?(?:made|dated|submitted|presented)\b/gi,
    /\b(?:made|entered\s+into|dated|executed)\b[^.;]{0,40}?\b(?:as\s+of|on|this)\b/gi,
    /\bdated\b/gi,
    /\b(?:contract|agreement|effective)\s+date\b/gi,
    /^[ \t]*date\s*:/gim,
  ],
  closing_date: [
    /\bclosing\s+date\b|\bclosing\s+shall\s+occur\b/gi,
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
    property_address: () => findAddress(text, care),
    purchase_price: labelled("purchase_price", amounts),
    earnest_money: labelled("earnest_money", amounts),
    offer_date: labelled("offer_date", dates),
    closing_date: labelled("closing_date", dates),
    contingency_dates: () => findContingencies(text, dates, care),
  };
}

function findContingencies(text: string, dates: readonly Reading<string>[], care: Care): FoundContingency[] {
  const contingent =
    /\b(?:contingen\w+|condition\w*|period|deadline|obtain|waive[rds]*|remov\w+|complete[ds]?|object\w*|deliver\w*|approv\w+)\b/i;
  const found: FoundContingency[] = [];
  for (const [kind, label] of contingencies) {
    for (const match of matchesOf(text, label)) {
      const span = sentenceAt(text, match.index);
      const sentence = text.slice(span.start, span.end);
      const inside = dates.filter((d) => d.start >= span.start && d.end <= span.end);
      const date = inside.find((d) => d.start >= match.index) ?? inside.at(-1);
      if (date === undefined || !contingent.test(sentence)) continue;
      const quote = care === "quick" ? sentence : text.slice(date.start, date.end);
      found.push({ kind, value: date.value, quote, ambiguous: inside.length > 1 });
      break;
    }
  }
  return found;
}
