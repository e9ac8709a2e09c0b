import { type IsoDate, type NumericOrder, numericOrder, readDate } from "./dates.ts";
import type { Extracted, Finding } from "./finding.ts";
import { containsName } from "./fold.ts";
import type { Comparison, GroundedField, SourceIndex } from "./grounding.ts";
import { findMoney, formatMoney, type Money, sameMoney } from "./money.ts";

/** What may decide between the two readings of a date such as 03/04/2026. */
export interface DateWitness {
  /** The same date in a record from another system. */
  recorded?: IsoDate | undefined;
  /** How the document writes its other numeric dates. Asked only when it is needed: it reads the whole document. */
  order?: (() => NumericOrder | null) | undefined;
}

/** Compares a date with its quote. An ambiguous date counts as read only when its witnesses agree on one reading. */
export function compareDate(value: IsoDate, quote: string, witness: DateWitness = {}): Comparison {
  const reading = readDate(quote);
  if (!reading) return { status: "unreadable" };
  if (reading.kind === "certain") return equalOrDiffers(value === reading.date, [reading.date]);
  if (reading.kind === "ambiguous") {
    const settled = settle(reading, witness);
    if (settled) return equalOrDiffers(value === settled, [settled]);
    const readings = [reading.monthFirst, reading.dayFirst];
    return readings.includes(value)
      ? { status: "ambiguous", readings }
      : { status: "differs", stated: readings };
  }
  if (!reading.dates.includes(value)) return { status: "differs", stated: reading.dates };
  if (reading.ambiguous) return { status: "ambiguous", readings: reading.dates };
  return { status: "one_of_several", stated: reading.dates };
}

/** Compares an amount with its quote. Words and digits that disagree with each other are the validator's to report. */
export function compareMoney(value: Money, quote: string): Comparison {
  const stated = findMoney(quote);
  if (stated.length === 0) return { status: "unreadable" };
  const distinct = stated.filter((money, at) => stated.findIndex((other) => sameMoney(money, other)) === at);
  const written = distinct.map(formatMoney);
  if (!distinct.some((money) => sameMoney(money, value))) return { status: "differs", stated: written };
  const sameForm = distinct.filter((money) => money.form === "digits").length > 1;
  return sameForm ? { status: "one_of_several", stated: written } : { status: "equal" };
}

/** Compares a name with its quote: its words must stand in the quote, whatever their case and punctuation. */
export function compareName(value: string, quote: string): Comparison {
  return containsName(quote, value) ? { status: "equal" } : { status: "differs", stated: [`"${quote}"`] };
}

/** A date to check. */
export interface DateField {
  path: string;
  extracted: Extracted<IsoDate>;
  recorded?: IsoDate | undefined;
  unreadable?: Finding["severity"];
}

/** Makes date fields whose ambiguous dates are settled by their own document, which is read at most once. */
export function dateFields(indexes: ReadonlyMap<string, SourceIndex>): (field: DateField) => GroundedField {
  const orders = new Map<string, NumericOrder | null>();
  const orderIn = (sourceId: string): NumericOrder | null => {
    const known = orders.get(sourceId);
    if (known !== undefined) return known;
    const order = numericOrder(indexes.get(sourceId)?.text ?? "");
    orders.set(sourceId, order);
    return order;
  };
  return ({ path, extracted, recorded, unreadable = "error" }) => {
    const witness: DateWitness = { recorded, order: () => orderIn(extracted.source_id) };
    return { path, extracted, unreadable, compare: (quote) => compareDate(extracted.value, quote, witness) };
  };
}

export function moneyField(path: string, extracted: Extracted<Money>): GroundedField {
  return { path, extracted, compare: (quote) => compareMoney(extracted.value, quote) };
}

export function nameField(path: string, extracted: Extracted<string>): GroundedField {
  return { path, extracted, compare: (quote) => compareName(extracted.value, quote) };
}

function settle(reading: { monthFirst: IsoDate; dayFirst: IsoDate }, witness: DateWitness): IsoDate | null {
  const votes = new Set<IsoDate>();
  const { recorded } = witness;
  if (recorded === reading.monthFirst || recorded === reading.dayFirst) votes.add(recorded);
  const order = witness.order?.() ?? null;
  if (order) votes.add(order === "month-first" ? reading.monthFirst : reading.dayFirst);
  const [only] = votes;
  return votes.size === 1 && only ? only : null;
}

function equalOrDiffers(equal: boolean, stated: readonly string[]): Comparison {
  return equal ? { status: "equal" } : { status: "differs", stated };
}
