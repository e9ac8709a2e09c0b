/** "holdfast": all that graphs/ and validators/ may import. */
export { z } from "zod";
export {
  compareDate,
  compareMoney,
  compareName,
  type DateWitness,
} from "./domain/comparison.ts";
export { findDates, type IsoDate, isIsoDate, numericOrder, readDate } from "./domain/dates.ts";
export {
  blocking,
  type DomainValidator,
  type Evidence,
  type Extracted,
  type Finding,
  type SourceDocument,
  type ValidationContext,
} from "./domain/finding.ts";
export { containsName, foldName, foldText } from "./domain/fold.ts";
export {
  type Comparison,
  checkGrounding,
  findQuote,
  type GroundedField,
  indexSource,
  indexSources,
  type SourceIndex,
} from "./domain/grounding.ts";
export { findMoney, formatMoney, type Money, moneyPairs, sameMoney } from "./domain/money.ts";
export { missingFields, parseOutput } from "./domain/parse-output.ts";
