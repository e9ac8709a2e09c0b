import { Annotation } from "@langchain/langgraph";
import type { Finding } from "../domain/finding.ts";

export interface ValidationState {
  /** What the validator said about the latest record, warnings included. */
  findings: Finding[];
  /** True while a finding blocks. */
  validation_failed: boolean;
  /** The blocking findings in words; null when there is none. */
  validation_error: string | null;
  /** How often the model was asked again. */
  repairs: number;
  /** Path and code of each blocking finding of the latest validation. */
  finding_signature: string | null;
  /** True when a repair left the same findings: asking again would change nothing. */
  repair_stalled: boolean;
}

/** What a node returns that begins with a new record, so that an earlier one's repairs do not count. */
export const freshValidation: Readonly<ValidationState> = {
  findings: [],
  validation_failed: false,
  validation_error: null,
  repairs: 0,
  finding_signature: null,
  repair_stalled: false,
};

/** The state keys of `domainValidator`: `Annotation.Root({ ...validationState, record: Annotation<…> })`. */
export const validationState = {
  findings: latest<Finding[]>([]),
  validation_failed: latest<boolean>(false),
  validation_error: latest<string | null>(null),
  repairs: latest<number>(0),
  finding_signature: latest<string | null>(null),
  repair_stalled: latest<boolean>(false),
};

/** A state key that keeps what was written last. */
export function latest<T>(initial: T) {
  return Annotation<T>({ reducer: (_, next) => next, default: () => initial });
}
