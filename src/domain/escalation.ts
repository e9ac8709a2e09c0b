export const escalationStatuses = ["open", "decided", "superseded", "expired"] as const;
export type EscalationStatus = (typeof escalationStatuses)[number];

/** What Agent Inbox sends back: the resume value is a list of these. */
export const responseTypes = ["accept", "edit", "response", "ignore"] as const;
export type ResponseType = (typeof responseTypes)[number];
export interface HumanResponse {
  type: ResponseType;
  args: unknown;
}

/** What Agent Inbox renders. */
export interface HumanInterrupt {
  action_request: { action: string; args: Record<string, unknown> };
  config: { allow_ignore: boolean; allow_respond: boolean; allow_edit: boolean; allow_accept: boolean };
  description?: string;
}

/** Why a human is asked. */
export interface EscalationReason {
  code: string;
  message: string;
}

/** What our gate puts beside the HumanInterrupt; other graphs' interrupts lack it. */
export interface EscalationDetail {
  reasons: EscalationReason[];
  priority?: number;
  assignee?: string;
  /** Where a notifier should say so, e.g. `#agent-escalations`. */
  channel?: string;
  /** Seconds until somebody should have answered. */
  sla_seconds?: number;
  /** Seconds after which `on_expiry` answers by itself. */
  expires_in_seconds?: number;
  on_expiry?: "reject" | "approve";
  /** The effect that the question is about, and which of its calls. */
  effect_id?: string;
  dispatch?: number;
}

/** Which response types a payload allows; a plain `interrupt()` of any graph allows every one. */
export function allowedResponses(payload: unknown): ResponseType[] {
  const first = Array.isArray(payload) ? payload[0] : payload;
  const config = (first as Partial<HumanInterrupt> | null | undefined)?.config;
  if (config === undefined || config === null || typeof config !== "object") return [...responseTypes];
  const allowed: ResponseType[] = [];
  if (config.allow_accept) allowed.push("accept");
  if (config.allow_edit) allowed.push("edit");
  if (config.allow_respond) allowed.push("response");
  if (config.allow_ignore) allowed.push("ignore");
  return allowed;
}

/** True for the payloads our gate (and Agent Inbox graphs) raise: their resume value is a list of responses. */
export function isHumanInterrupt(payload: unknown): boolean {
  const first = Array.isArray(payload) ? payload[0] : payload;
  return typeof first === "object" && first !== null && "action_request" in first && "config" in first;
}

/** Reads what a graph was resumed with: Agent Inbox sends a list with one response. Null when it is none. */
export function readResponse(resumed: unknown): HumanResponse | null {
  const first: unknown = Array.isArray(resumed) ? resumed[0] : resumed;
  if (typeof first !== "object" || first === null) return null;
  const { type: given, args } = first as Partial<HumanResponse>;
  const type = responseTypes.find((known) => known === given);
  return type === undefined ? null : { type, args: args ?? null };
}

export function detailOf(payload: unknown): EscalationDetail {
  const first = (Array.isArray(payload) ? payload[0] : payload) as
    | { holdfast?: EscalationDetail }
    | null
    | undefined;
  return first?.holdfast ?? { reasons: [] };
}
