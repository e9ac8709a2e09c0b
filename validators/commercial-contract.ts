import {
  checkGrounding,
  type DomainValidator,
  dateFields,
  extractedDate,
  extractedName,
  type Finding,
  foldName,
  type GroundedField,
  indexSources,
  missingFields,
  nameField,
  parseOutput,
  type SourceIndex,
  z,
} from "holdfast";

const partiesMax = 200;

/** What is read from a commercial contract. Absent fields are findings where they are required. */
export const CommercialContract = z.object({
  document_name: extractedName.nullish(),
  parties: z.array(extractedName).max(partiesMax).nullish(),
  agreement_date: extractedDate.nullish(),
  effective_date: extractedDate.nullish(),
  expiration_date: extractedDate.nullish(),
  governing_law: extractedName.nullish(),
});
export type CommercialContract = z.infer<typeof CommercialContract>;

/** The rules of a commercial contract: grounding, dates, and at least two parties. */
export const commercialContract: DomainValidator<CommercialContract> = {
  name: "commercial-contract",
  version: "1.0.0",
  validate(output, context) {
    const { record, findings } = parseOutput(CommercialContract, output);
    if (!record) return findings;
    const indexes = indexSources(context.sources);
    return [
      ...findings,
      ...missingFields(record, ["document_name", "parties"], findings),
      ...checkGrounding(groundedFields(record, indexes), indexes),
      ...twoParties(record),
      ...dateOrder(record),
    ];
  },
};

function groundedFields(
  contract: CommercialContract,
  indexes: ReadonlyMap<string, SourceIndex>,
): GroundedField[] {
  const { document_name, parties, agreement_date, effective_date, expiration_date, governing_law } = contract;
  const dateField = dateFields(indexes);
  return [
    ...(document_name ? [nameField("document_name", document_name)] : []),
    ...(parties ?? []).map((party, at) => nameField(`parties.${at}`, party)),
    ...(governing_law ? [nameField("governing_law", governing_law)] : []),
    ...(agreement_date ? [dateField({ path: "agreement_date", extracted: agreement_date })] : []),
    // These two are often a rule instead of a date ("two years from the date hereof"): a human may compute them.
    ...(effective_date
      ? [dateField({ path: "effective_date", extracted: effective_date, unreadable: "warn" })]
      : []),
    ...(expiration_date
      ? [dateField({ path: "expiration_date", extracted: expiration_date, unreadable: "warn" })]
      : []),
  ];
}

function twoParties({ parties }: CommercialContract): Finding[] {
  if (!parties || parties.length === 0) return [];
  if (new Set(parties.map(({ value }) => foldName(value))).size >= 2) return [];
  const message = "Only one party was read; a contract has at least two.";
  const repairHint = "Read every party that the contract is made between.";
  return [{ path: "parties", code: "required_field_missing", severity: "error", message, repairHint }];
}

function dateOrder({ agreement_date, effective_date, expiration_date }: CommercialContract): Finding[] {
  const findings: Finding[] = [];
  if (agreement_date && effective_date && effective_date.value < agreement_date.value) {
    const message = `The effective date, ${effective_date.value}, is before the agreement date, ${agreement_date.value}.`;
    findings.push({ path: "effective_date.value", code: "date_order", severity: "warn", message });
  }
  const start = effective_date ?? agreement_date;
  if (start && expiration_date && expiration_date.value <= start.value) {
    const message = `The expiration date, ${expiration_date.value}, is not after ${start.value}.`;
    findings.push({ path: "expiration_date.value", code: "date_order", severity: "error", message });
  }
  return findings;
}
