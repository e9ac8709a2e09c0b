import type { EscalationReason } from "../domain/escalation.ts";

export const confidenceMin = 0.7;
export const lowConfidenceBelow = 0.5;
const sensitiveDomains: ReadonlySet<unknown> = new Set(["legal", "financial", "medical"]);

/** What the gate looks at. A signal that is not there triggers nothing; a confidence that is no number does. */
export interface GateSignals {
  confidence?: unknown;
  stakes?: unknown;
  domain?: unknown;
  pattern?: unknown;
  validation_failed?: unknown;
  validation_error?: unknown;
}

/** Every reason to ask a human, in the order in which they are shown. */
export function triggered(signals: GateSignals): EscalationReason[] {
  const { stakes, domain, pattern } = signals;
  const reasons: EscalationReason[] = [];
  if (signals.validation_failed === true) {
    const error = typeof signals.validation_error === "string" ? ` ${signals.validation_error}` : "";
    reasons.push({ code: "validation_failed", message: `Validation failed.${error}` });
  }
  reasons.push(...confidenceReasons(signals.confidence));
  if (stakes === "high") reasons.push({ code: "high_stakes", message: "The stakes are high." });
  if (sensitiveDomains.has(domain))
    reasons.push({ code: "sensitive_domain", message: `The matter is ${String(domain)}.` });
  if (pattern === "novel")
    reasons.push({ code: "novel_pattern", message: "Nothing like this has been seen before." });
  return reasons;
}

function confidenceReasons(confidence: unknown): EscalationReason[] {
  if (confidence === undefined) return [];
  if (typeof confidence !== "number" || !(confidence >= 0 && confidence <= 1))
    return [{ code: "low_confidence", message: "The confidence is not known." }];
  const reasons: EscalationReason[] = [];
  if (confidence < confidenceMin)
    reasons.push({
      code: "low_confidence",
      message: `The confidence is ${confidence}, below ${confidenceMin}.`,
    });
  if (confidence < lowConfidenceBelow)
    reasons.push({
      code: "low_confidence_alert",
      message: `The confidence is ${confidence}, below ${lowConfidenceBelow}: look at the model.`,
    });
  return reasons;
}
