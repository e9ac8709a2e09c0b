/** "holdfast": all that graphs/ and validators/ may import. */
export { z } from "zod";
export { dateFields, moneyField, nameField } from "./domain/comparison.ts";
export { type IsoDate, isIsoDate } from "./domain/dates.ts";
export {
  extractedDate,
  extractedMoney,
  extractedName,
  isoDateSchema,
  moneySchema,
} from "./domain/extracted.ts";
export {
  blocking,
  type DomainValidator,
  type Evidence,
  type Extracted,
  type Finding,
  type SourceDocument,
  type ValidationContext,
} from "./domain/finding.ts";
export { foldName } from "./domain/fold.ts";
export {
  checkGrounding,
  findQuote,
  type GroundedField,
  indexSources,
  type SourceIndex,
} from "./domain/grounding.ts";
export { contradictions, formatMoney, type Money, sameMoney } from "./domain/money.ts";
export { missingFields, parseOutput } from "./domain/parse-output.ts";
