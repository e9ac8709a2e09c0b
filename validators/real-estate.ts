import {
  checkGrounding,
  contradictions,
  type DomainValidator,
  dateFields,
  type Evidence,
  type Extracted,
  extractedDate,
  extractedMoney,
  extractedName,
  type Finding,
  findQuote,
  foldName,
  formatMoney,
  type GroundedField,
  indexSources,
  isIsoDate,
  isoDateSchema,
  type Money,
  missingFields,
  moneyField,
  moneySchema,
  nameField,
  parseOutput,
  type SourceIndex,
  sameMoney,
  type ValidationContext,
  z,
} from "holdfast";

const contingenciesMax = 50;

/**
 * What is read from a purchase agreement. Every field may be absent here: a document may not state it, and an absent
 * required field is a finding with its path, not a shapeless parse error.
 */
export const PurchaseAgreement = z.object({
  buyer_name: extractedName.nullish(),
  seller_name: extractedName.nullish(),
  property_address: extractedName.nullish(),
  purchase_price: extractedMoney.nullish(),
  earnest_money: extractedMoney.nullish(),
  offer_date: extractedDate.nullish(),
  contingency_dates: z
    .array(extractedDate.extend({ kind: z.string().min(1).max(100) }))
    .max(contingenciesMax)
    .nullish(),
  closing_date: extractedDate.nullish(),
});
export type PurchaseAgreement = z.infer<typeof PurchaseAgreement>;

const required = [
  "buyer_name",
  "seller_name",
  "purchase_price",
  "offer_date",
  "contingency_dates",
  "closing_date",
];

/** The same sale in another system. Amounts may be plain minor units. Fields it does not know are not compared. */
const SaleRecord = z.object({
  buyer_name: z.string().optional(),
  seller_name: z.string().optional(),
  purchase_price: z.union([z.int(), moneySchema]).optional(),
  offer_date: isoDateSchema.optional(),
  closing_date: isoDateSchema.optional(),
});
type SaleRecord = z.infer<typeof SaleRecord>;

interface Sale {
  agreement: PurchaseAgreement;
  indexes: ReadonlyMap<string, SourceIndex>;
  record: SaleRecord;
}

/** The rules of a residential purchase agreement. Pure: today is `context.businessDate`. */
export const realEstate: DomainValidator<PurchaseAgreement> = {
  name: "real-estate",
  version: "1.0.0",
  validate(output, context) {
    const { record: agreement, findings } = parseOutput(PurchaseAgreement, output);
    if (!agreement) return findings;
    const { record, unreadable } = readRecord(context);
    const sale: Sale = { agreement, indexes: indexSources(context.sources), record };
    return [
      ...findings,
      ...missingFields(agreement, required, findings),
      ...missingAddress(agreement, findings),
      ...unreadable,
      ...checkGrounding(groundedFields(sale), sale.indexes),
      ...parties(sale),
      ...amounts(sale),
      ...dateOrder(sale),
      ...pastContingencies(sale, context.businessDate),
      ...crossCheck(sale),
    ];
  },
};

function readRecord({ record = {} }: ValidationContext): { record: SaleRecord; unreadable: Finding[] } {
  const parsed = parseOutput(SaleRecord, record);
  // A record that cannot be compared is the caller's fault, and no repair of the output mends it.
  const unreadable = parsed.findings.map((finding): Finding => {
    const message = `The source record's ${finding.path} cannot be read, so it was not compared. ${finding.message}`;
    return { path: finding.path, code: "record_unreadable", severity: "warn", message };
  });
  return { record: parsed.record ?? {}, unreadable };
}

function missingAddress(agreement: PurchaseAgreement, malformed: readonly Finding[]): Finding[] {
  return missingFields(agreement, ["property_address"], malformed).map((finding) => ({
    ...finding,
    code: "optional_field_missing",
    severity: "warn",
    message: "No property address was read from the document.",
  }));
}

function groundedFields({ agreement, indexes, record }: Sale): GroundedField[] {
  const { buyer_name, seller_name, property_address, purchase_price, earnest_money } = agreement;
  const dateField = dateFields(indexes);
  const { offer_date, contingency_dates, closing_date } = agreement;
  return [
    ...(buyer_name ? [nameField("buyer_name", buyer_name)] : []),
    ...(seller_name ? [nameField("seller_name", seller_name)] : []),
    ...(property_address ? [nameField("property_address", property_address)] : []),
    ...(purchase_price ? [moneyField("purchase_price", purchase_price)] : []),
    ...(earnest_money ? [moneyField("earnest_money", earnest_money)] : []),
    ...(offer_date
      ? [dateField({ path: "offer_date", extracted: offer_date, recorded: record.offer_date })]
      : []),
    ...(contingency_dates ?? []).map((extracted, at) =>
      dateField({ path: `contingency_dates.${at}`, extracted }),
    ),
    ...(closing_date
      ? [dateField({ path: "closing_date", extracted: closing_date, recorded: record.closing_date })]
      : []),
  ];
}

function parties({ agreement, indexes }: Sale): Finding[] {
  const { buyer_name: buyer, seller_name: seller } = agreement;
  if (!buyer || !seller || foldName(buyer.value) !== foldName(seller.value)) return [];
  const message = `Buyer and seller are the same party, ${buyer.value}.`;
  return [error({ path: "buyer_name.value", code: "same_party", message, ...spanOf(buyer, indexes) })];
}

function amounts({ agreement, indexes }: Sale): Finding[] {
  const { purchase_price: price, earnest_money: earnest } = agreement;
  const findings = [
    ...(price ? wordsDiffer("purchase_price", price, indexes) : []),
    ...(earnest ? wordsDiffer("earnest_money", earnest, indexes) : []),
  ];
  if (!price || !earnest) return findings;
  const at = { path: "earnest_money.value", ...spanOf(earnest, indexes) };
  const [deposit, sum] = [formatMoney(earnest.value), formatMoney(price.value)];
  if (earnest.value.currency !== price.value.currency) {
    const message = `The earnest money, ${deposit}, and the price, ${sum}, are in different currencies.`;
    findings.push(error({ ...at, code: "currency_mismatch", message }));
  } else if (earnest.value.minor_units >= price.value.minor_units) {
    const message = `The earnest money, ${deposit}, is not below the price, ${sum}.`;
    findings.push(error({ ...at, code: "earnest_money_too_high", message }));
  }
  return findings;
}

const passageCharacters = 200;

function wordsDiffer(
  path: string,
  amount: Extracted<Money>,
  indexes: ReadonlyMap<string, SourceIndex>,
): Finding[] {
  const { evidence } = spanOf(amount, indexes);
  const text = indexes.get(amount.source_id)?.text;
  if (!evidence || text === undefined) return [];
  const passage = text.slice(
    Math.max(0, evidence.start - passageCharacters),
    evidence.end + passageCharacters,
  );
  return contradictions(amount.quote, passage).map(({ words, digits }) => {
    const message = `The document says ${formatMoney(words)} in words and ${formatMoney(digits)} in digits.`;
    return error({ path: `${path}.value`, code: "price_words_differ", message, evidence });
  });
}

function dateOrder({ agreement, indexes }: Sale): Finding[] {
  const { offer_date: offer, contingency_dates, closing_date: closing } = agreement;
  const findings: Finding[] = [];
  const late = (path: string, date: Extracted<string>, message: string): void => {
    findings.push(error({ path: `${path}.value`, code: "date_order", message, ...spanOf(date, indexes) }));
  };
  for (const [at, contingency] of (contingency_dates ?? []).entries()) {
    const path = `contingency_dates.${at}`;
    const deadline = `The ${contingency.kind} contingency, ${contingency.value},`;
    if (offer && contingency.value <= offer.value)
      late(path, contingency, `${deadline} is not after the offer, ${offer.value}.`);
    if (closing && contingency.value >= closing.value)
      late(path, contingency, `${deadline} is not before the closing, ${closing.value}.`);
  }
  if (offer && closing && closing.value <= offer.value)
    late("closing_date", closing, `The closing, ${closing.value}, is not after the offer, ${offer.value}.`);
  return findings;
}

function pastContingencies({ agreement, indexes }: Sale, businessDate: string): Finding[] {
  if (!isIsoDate(businessDate)) {
    const message = `The business date "${businessDate}" is no calendar date, so no deadline could be checked.`;
    return [error({ path: "", code: "business_date_invalid", message })];
  }
  return (agreement.contingency_dates ?? []).flatMap((contingency, at) => {
    if (contingency.value >= businessDate) return [];
    const message = `The ${contingency.kind} contingency, ${contingency.value}, is before today, ${businessDate}.`;
    const path = `contingency_dates.${at}.value`;
    return [error({ path, code: "contingency_past", message, ...spanOf(contingency, indexes) })];
  });
}

function crossCheck({ agreement, indexes, record }: Sale): Finding[] {
  const { purchase_price: price } = agreement;
  const findings: Finding[] = [];
  const mismatch = (path: string, read: Extracted<unknown>, is: string, recorded: string): void => {
    const message = `The document says ${is}; the source record says ${recorded}.`;
    findings.push(
      error({ path: `${path}.value`, code: "record_mismatch", message, ...spanOf(read, indexes) }),
    );
  };
  for (const field of ["buyer_name", "seller_name"] as const) {
    const [read, recorded] = [agreement[field], record[field]];
    if (read && recorded !== undefined && foldName(read.value) !== foldName(recorded))
      mismatch(field, read, read.value, recorded);
  }
  for (const field of ["offer_date", "closing_date"] as const) {
    const [read, recorded] = [agreement[field], record[field]];
    if (read && recorded !== undefined && read.value !== recorded)
      mismatch(field, read, read.value, recorded);
  }
  if (price && record.purchase_price !== undefined) {
    const recorded =
      typeof record.purchase_price === "number"
        ? { minor_units: record.purchase_price, currency: price.value.currency }
        : record.purchase_price;
    if (!sameMoney(price.value, recorded))
      mismatch("purchase_price", price, formatMoney(price.value), formatMoney(recorded));
  }
  return findings;
}

function spanOf(
  read: Extracted<unknown>,
  indexes: ReadonlyMap<string, SourceIndex>,
): { evidence?: Evidence } {
  const index = indexes.get(read.source_id);
  const found = index && findQuote(index, read.quote);
  if (!found) return {};
  return { evidence: { source_id: found.source_id, start: found.start, end: found.end } };
}

function error(finding: Omit<Finding, "severity">): Finding {
  return { ...finding, severity: "error" };
}
