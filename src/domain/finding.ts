/** Where in a source document something was read. Offsets are UTF-16 code units, end exclusive. */
export interface Evidence {
  source_id: string;
  start: number;
  end: number;
}

/** What a validator says about one place in an output. `path` is dotted, e.g. `purchase_price.value`. */
export interface Finding {
  path: string;
  code: string;
  /** `error` blocks the output; `warn` is shown to the human and never blocks. */
  severity: "error" | "warn";
  message: string;
  evidence?: Evidence;
  repairHint?: string;
}

/** A document the output was read from. */
export interface SourceDocument {
  source_id: string;
  text: string;
}

/** Everything a validator may know beside the output: pure data, so a replay gives the same findings. */
export interface ValidationContext {
  sources: readonly SourceDocument[];
  /** ISO date (yyyy-mm-dd) in `timeZone` that counts as today. Never the server's clock. */
  businessDate: string;
  /** IANA name, e.g. `America/New_York`. */
  timeZone: string;
  /** A record of the same thing from another system, for cross-checks. */
  record?: Readonly<Record<string, unknown>>;
}

/** A pure set of domain rules over an output of shape T. */
export interface DomainValidator<T> {
  name: string;
  version: string;
  validate(output: T, context: ValidationContext): Finding[];
}

/** A field read by a model: the value, and the quote it was read from. */
export interface Extracted<V> {
  value: V;
  quote: string;
  source_id: string;
}

export const blocking = (findings: readonly Finding[]): Finding[] =>
  findings.filter((f) => f.severity === "error");
