// The gate in front of what cannot be undone. It only interrupts: whoever answers, by whatever door, resumes the
// graph with a response. Read next: triggers.ts (when), escalation-text.ts (what is shown), human-response.ts.
import { interrupt } from "@langchain/langgraph";
import {
  type EscalationDetail,
  type EscalationReason,
  type HumanInterrupt,
  type HumanResponse,
  readResponse,
} from "../domain/escalation.ts";
import { blocking, type Finding, type SourceDocument } from "../domain/finding.ts";
import { type Review, summary, verdict } from "./domain-validator.ts";
import { explain } from "./escalation-text.ts";
import { editedArgs } from "./human-response.ts";
import { isRecord } from "./repair.ts";
import { type GateSignals, triggered } from "./triggers.ts";
import { latest, type ValidationState } from "./validation-state.ts";

export const escalationChannel = "#agent-escalations";

/** How often an answer that cannot be used goes back to the human; after that the answer is no. */
export const returnsMax = 3;

const urgent: ReadonlySet<string> = new Set(["low_confidence_alert", "high_stakes"]);

/** What the human decided. Who it was stands in the escalation, not here. */
export interface Decision {
  type: HumanResponse["type"];
  /** What the human wrote, or why the gate gave up asking. */
  comment: string | null;
  /** Fields that the human changed. */
  edited: string[];
  /** Blocking findings, as path and code, that the human accepted. */
  overruled: string[];
}

export interface GateState {
  /** `passed` when nobody had to be asked, `approved`, `rejected` or (by free text) `responded` by a human; your own nodes may go on from there. */
  status: string;
  /** Null when nobody had to be asked. */
  decision: Decision | null;
  escalation_reasons: EscalationReason[];
}

/** The state keys of `escalationGate`. */
export const gateState = {
  status: latest<string>("open"),
  decision: latest<Decision | null>(null),
  escalation_reasons: latest<EscalationReason[]>([]),
};

export interface GatePolicy<State> {
  /** What happens when the human accepts, e.g. `file_record`. */
  action: string;
  /** The heading of the question. */
  title?: (state: State) => string;
  /** Shows its record and findings, and validates an edited record again. */
  review: Review<State>;
  /** Reasons of your own, beside the built-in ones. Must say the same whenever it is asked about one state. */
  policy?: (state: State) => readonly EscalationReason[];
  /** Where the signals stand, if not under `confidence`, `stakes`, `domain` and `pattern` in the state. */
  signals?: (state: State) => GateSignals;
  /** Which answers are offered. A free text answer (`respond`) is offered only where the graph does something with it. */
  allow?: { accept?: boolean; edit?: boolean; respond?: boolean; ignore?: boolean };
  priority?: number;
  assignee?: string;
  channel?: string;
  slaSeconds?: number;
  expiresInSeconds?: number;
  onExpiry?: "reject" | "approve";
}

/** What the human sees at one time. */
interface Shown {
  args: Record<string, unknown>;
  findings: readonly Finding[];
  notice: string | null;
}

/** A node that lets pass what needs nobody, and asks a human about the rest. */
export function escalationGate<State extends ValidationState>(
  policy: GatePolicy<State>,
): (state: State) => Partial<State> & GateState {
  const { review } = policy;
  return (state) => {
    const signals = { ...(policy.signals?.(state) ?? (state as GateSignals)), ...validationOf(state) };
    const reasons = [...triggered(signals), ...(policy.policy?.(state) ?? [])];
    const told = { escalation_reasons: reasons };
    if (reasons.length === 0)
      return { ...told, status: "passed", decision: null } as Partial<State> & GateState;
    const record = review.options.output(state);
    const original = isRecord(record) ? { ...record } : {};
    let shown: Shown = { args: original, findings: state.findings, notice: null };
    for (let question = 0; question <= returnsMax; question += 1) {
      const sources = review.options.context(state).sources;
      const resumed: unknown = interrupt(payloadOf(policy, { state, shown, reasons, sources }));
      const next = answered(policy, { state, shown, original, response: readResponse(resumed) });
      if ("update" in next) return { ...told, ...next.update } as Partial<State> & GateState;
      shown = next.shown;
    }
    return { ...told, ...refused(`no usable answer after ${returnsMax + 1} questions`) } as Partial<State> &
      GateState;
  };
}

const validationOf = ({ validation_failed, validation_error }: ValidationState): GateSignals => ({
  validation_failed,
  validation_error,
});

interface Asked<State> {
  state: State;
  shown: Shown;
  reasons: readonly EscalationReason[];
  sources: readonly SourceDocument[];
}

type Payload = [HumanInterrupt & { holdfast: EscalationDetail }];

function payloadOf<State>(
  policy: GatePolicy<State>,
  { state, shown, reasons, sources }: Asked<State>,
): Payload {
  const { findings, notice, args } = shown;
  const title = policy.title?.(state) ?? policy.action;
  const allowed = allowedBy(policy);
  return [
    {
      action_request: { action: policy.action, args },
      config: {
        allow_accept: allowed.accept,
        allow_edit: allowed.edit,
        allow_respond: allowed.response,
        allow_ignore: allowed.ignore,
      },
      description: explain({ title, notice, reasons, findings, sources }),
      holdfast: detailOf(policy, reasons),
    },
  ];
}

function allowedBy({ allow = {} }: Pick<GatePolicy<never>, "allow">): Record<HumanResponse["type"], boolean> {
  const { accept = true, edit = true, respond = false, ignore = true } = allow;
  return { accept, edit, response: respond, ignore };
}

function detailOf<State>(policy: GatePolicy<State>, reasons: readonly EscalationReason[]): EscalationDetail {
  const { assignee, slaSeconds, expiresInSeconds, onExpiry, channel = escalationChannel } = policy;
  return {
    reasons: [...reasons],
    priority: policy.priority ?? (reasons.some(({ code }) => urgent.has(code)) ? 2 : 1),
    channel,
    ...(assignee === undefined ? {} : { assignee }),
    ...(slaSeconds === undefined ? {} : { sla_seconds: slaSeconds }),
    ...(expiresInSeconds === undefined ? {} : { expires_in_seconds: expiresInSeconds }),
    ...(onExpiry === undefined ? {} : { on_expiry: onExpiry }),
  };
}

interface Answer<State> {
  state: State;
  shown: Shown;
  original: Record<string, unknown>;
  response: HumanResponse | null;
}

type Next = { update: object } | { shown: Shown };

/** What one answer leads to: a state update, or the next question. */
function answered<State>(
  policy: GatePolicy<State>,
  { state, shown, original, response }: Answer<State>,
): Next {
  const again = (notice: string): Next => ({ shown: { ...shown, notice } });
  if (response === null) return again("The last answer could not be read.");
  if (!allowedBy(policy)[response.type])
    return again(`The last answer, ${response.type}, is not offered here.`);
  if (response.type === "ignore") return { update: refused(commentOf(response)) };
  if (response.type === "response") {
    const decision = decided(response, { original, args: original, findings: [] });
    return { update: { decision, status: "responded" } };
  }
  const { check, options } = policy.review;
  if (response.type === "edit") {
    const args = editedArgs(shown.args, response.args);
    if (args === null) return again("The last edit could not be read.");
    const findings = check(args, state);
    const errors = blocking(findings);
    if (errors.length > 0)
      return { shown: { args, findings, notice: `Your edit does not pass yet. ${summary(errors)}` } };
    const decision = decided(response, { original, args, findings });
    return { update: { ...options.update(args), ...verdict(findings), decision, status: "approved" } };
  }
  const { args, findings } = shown;
  const decision = decided(response, { original, args, findings });
  return { update: { ...options.update(args), ...verdict([...findings]), decision, status: "approved" } };
}

interface Outcome {
  original: Record<string, unknown>;
  args: Record<string, unknown>;
  findings: readonly Finding[];
}

function decided(response: HumanResponse, { original, args, findings }: Outcome): Decision {
  const changed = Object.keys(args).filter(
    (field) => JSON.stringify(args[field]) !== JSON.stringify(original[field]),
  );
  return {
    type: response.type,
    comment: commentOf(response),
    edited: changed,
    overruled: blocking(findings).map(({ path, code }) => `${path} ${code}`),
  };
}

const commentOf = ({ args }: HumanResponse): string | null =>
  typeof args === "string" && args !== "" ? args : null;

const refused = (comment: string | null): Pick<GateState, "status" | "decision"> => ({
  status: "rejected",
  decision: { type: "ignore", comment, edited: [], overruled: [] },
});
