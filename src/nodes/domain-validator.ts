// The validator as graph nodes. It says what is wrong and asks the model again, a bounded number of times; it never
// decides what a human should. Read next: repair.ts (what a repair may change), escalation-gate.ts.
import type { RunnableConfig } from "@langchain/core/runnables";
import { blocking, type DomainValidator, type Finding, type ValidationContext } from "../domain/finding.ts";
import { failingFields, mergeRepaired } from "./repair.ts";
import type { ValidationState } from "./validation-state.ts";

const repairsDefault = 2;
const repairsMax = 10;
const findingsMax = 200;
const errorsShownMax = 5;

export interface ValidatorOptions<State> {
  /** How often the model may be asked again. */
  repair?: number;
  /** The record in the state. */
  output: (state: State) => unknown;
  /** The state update that puts a repaired or edited record in its place. */
  update: (record: Record<string, unknown>) => Partial<State>;
  context: (state: State) => ValidationContext;
}

export interface RepairRequest<State> {
  state: State;
  record: unknown;
  /** The blocking findings. */
  findings: Finding[];
  /** Top-level fields to read again. */
  fields: string[];
}

export interface RepairAnswer<State> {
  /** What the model says now. Only failing fields are taken from it. */
  record: unknown;
  /** Anything else to keep, e.g. a new confidence. */
  update?: Partial<State>;
}

type Asks<State> = (request: RepairRequest<State>, config: RunnableConfig) => Promise<RepairAnswer<State>>;

/** A validator made ready for a graph: two nodes, and the way on from the first. */
export interface Review<State> {
  /** Node: validates the record. */
  validate: (state: State) => ValidationState;
  /** Node: asks the model again, and keeps every passing field as it was. */
  repair: (ask: Asks<State>) => (state: State, config: RunnableConfig) => Promise<Partial<State>>;
  /** After `validate`: `pass`; `repair` while that may help; else `gate`. */
  route: (state: State) => "pass" | "repair" | "gate";
  /** The findings of any record against this state's documents. Pure. */
  check: (record: unknown, state: State) => Finding[];
  readonly options: ValidatorOptions<State>;
}

/** Runs a pure validator over the state and, where that may help, the model over its findings. */
export function domainValidator<State extends ValidationState>(
  // biome-ignore lint/suspicious/noExplicitAny: a model's record has no type before the validator has seen it
  validator: DomainValidator<any>,
  options: ValidatorOptions<State>,
): Review<State> {
  const allowed = Math.min(options.repair ?? repairsDefault, repairsMax);
  const check = (record: unknown, state: State): Finding[] =>
    validator.validate(record, options.context(state)).slice(0, findingsMax);
  return {
    options,
    check,
    validate: (state) => validated(state, check(options.output(state), state)),
    repair: (ask) => async (state, config) => {
      const record = options.output(state);
      const findings = blocking(state.findings);
      const fields = [...failingFields(record, findings).keys()];
      const answer = await ask({ state, record, findings, fields }, config);
      const merged = mergeRepaired(record, answer.record, findings) as Record<string, unknown>;
      const counted: Partial<ValidationState> = { repairs: state.repairs + 1 };
      return { ...answer.update, ...options.update(merged), ...(counted as Partial<State>) };
    },
    route: (state) => {
      if (!state.validation_failed) return "pass";
      const repairable = failingFields(options.output(state), state.findings).size > 0;
      return repairable && state.repairs < allowed && !state.repair_stalled ? "repair" : "gate";
    },
  };
}

function validated(before: ValidationState, findings: Finding[]): ValidationState {
  const errors = blocking(findings);
  const signature = signatureOf(errors);
  return {
    ...verdict(findings),
    repairs: before.repairs,
    finding_signature: signature,
    repair_stalled: before.repairs > 0 && errors.length > 0 && signature === before.finding_signature,
  };
}

/** Findings as a state shows them. */
export function verdict(
  findings: Finding[],
): Pick<ValidationState, "findings" | "validation_failed" | "validation_error"> {
  const errors = blocking(findings);
  return {
    findings,
    validation_failed: errors.length > 0,
    validation_error: errors.length === 0 ? null : summary(errors),
  };
}

/** Two validations with one signature found the same faults, whatever their messages say. */
function signatureOf(errors: readonly Finding[]): string {
  return [...new Set(errors.map(({ path, code }) => `${path} ${code}`))].sort().join("\n");
}

export function summary(errors: readonly Finding[]): string {
  const shown = errors
    .slice(0, errorsShownMax)
    .map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const rest = errors.length - shown.length;
  return rest > 0 ? `${shown.join(" ")} And ${rest} more.` : shown.join(" ");
}
