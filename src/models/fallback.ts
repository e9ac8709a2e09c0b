import type { BaseMessage } from "@langchain/core/messages";
import { ModelError, type ModelErrorKind } from "./model-error.ts";
import { holdsMore, isAble, needsOf, type RequestOptions, type Target } from "./target.ts";

/** What another model may cure. A wrong key or request is wrong everywhere until somebody mends it. */
const curable: ReadonlySet<ModelErrorKind> = new Set([
  "unavailable",
  "timeout",
  "server",
  "network",
  "rate_limit",
  "quota",
  "context_length",
]);

interface Asking {
  targets: readonly [Target, ...Target[]];
  messages: readonly BaseMessage[];
  options: RequestOptions;
}

/** The models behind the first that can do what the request needs, in order. */
export function fallbacksFor({ targets, messages, options }: Asking): Target[] {
  const [, ...others] = targets;
  if (others.length === 0) return others;
  const needs = needsOf(messages, options);
  return others.filter((target) => isAble(target, needs));
}

/** Whether the next model is to be asked after what the one before it said; nothing was said before the first. */
export function goesOn(before: { target: Target; error: ModelError } | undefined, next: Target): boolean {
  if (before === undefined) return true;
  if (before.error.kind === "context_length") return holdsMore(next, before.target);
  return curable.has(before.error.kind);
}

/**
 * Which of the errors the run shall hear of: one that may pass, and of these one that a provider gave, for a run that
 * was only put off is not charged for it.
 */
export function worst(errors: readonly ModelError[]): ModelError {
  const passing = errors.filter(({ cure }) => cure === "retry");
  const given = passing.find(({ kind }) => kind !== "unavailable");
  const soonest = passing.toSorted((a, b) => (a.retryAfterMs ?? 0) - (b.retryAfterMs ?? 0))[0];
  return given ?? soonest ?? errors[0] ?? new ModelError("bad_answer", "no model was asked");
}
