import { type AppError, causeChain, classify } from "./classify.ts";
import type { Outcome } from "./outcome.ts";
import { retryAfterMsMax } from "./retry-after.ts";
import type { CancelAction, RunError } from "./run.ts";
import { storable } from "./text.ts";

/** Source: five attempts, waits 2, 4, 8, 16 s (32 and up to 60 s where more are allowed), jitter only upward. */
export const retryPolicy = { attemptsMax: 5, baseMs: 2_000, capMs: 60_000, jitterMax: 0.5 } as const;
export interface RetryPolicy {
  attemptsMax: number;
  baseMs: number;
  capMs: number;
  jitterMax: number;
}

const databaseDelayMs = 1_000;
const messageCharsMax = 4_000;
const nameCharsMax = 200;

export interface Failure {
  error: unknown;
  /** Attempts of this run that failed and were charged before this one. */
  failures: number;
  policy: RetryPolicy;
  cancelRequested: CancelAction | null;
  /** Whether this worker is stopping the attempt to give the run back. Graph code may throw a Cancelled of its own. */
  stopping: boolean;
  /** In [0, 1): the dice are the caller's. */
  random: number;
}

/** Milliseconds to wait after the nth charged failure (n from 1). */
export function backoffMs(nth: number, policy: RetryPolicy, random: number): number {
  const base = Math.min(policy.baseMs * 2 ** (nth - 1), policy.capMs);
  return Math.round(base * (1 + policy.jitterMax * random));
}

/** What a failed attempt leads to; null when the lease is gone and nothing may be written. */
export function decide(failure: Failure): Outcome | null {
  const cause = classify(failure.error);
  if (cause.name === "LeaseLost") return null;
  if (failure.cancelRequested !== null) return { kind: "cancelled", action: failure.cancelRequested };
  if (cause.name === "Cancelled" && failure.stopping) return { kind: "released" };
  if (cause.name === "EffectUnsettled" || cause.name === "NotYet") {
    const waitMs = cause.name === "NotYet" ? cause.retryAfterMs : cause.waitMs;
    const delayMs = Math.min(waitMs, retryAfterMsMax);
    return { kind: "retry", delayMs, error: describe(cause, failure.error), charged: false };
  }
  const error = describe(cause, failure.error);
  if (cause.name !== "Transient") {
    const outOfTime = cause.name === "Fatal" && cause.code === "run_timeout";
    return { kind: "dead", status: outOfTime ? "timeout" : "error", error };
  }
  if (cause.kind === "database") return { kind: "retry", delayMs: databaseDelayMs, error, charged: false };
  const nth = failure.failures + 1;
  if (nth >= failure.policy.attemptsMax) {
    const status = cause.kind === "timeout" ? "timeout" : "error";
    return { kind: "dead", status, error: { ...error, code: "exhausted" } };
  }
  const delayMs = Math.min(
    cause.retryAfterMs ?? backoffMs(nth, failure.policy, failure.random),
    retryAfterMsMax,
  );
  return { kind: "retry", delayMs, error, charged: true };
}

/** The error as stored with the run: the original's name and message, ours as code, causes in order. */
export function describe(cause: AppError, original: unknown): RunError {
  const chain = causeChain(original).filter((link): link is Error => link instanceof Error);
  const first = chain[0];
  const code = codeOf(cause);
  const error: RunError = {
    code,
    name: storable(String(first?.name ?? cause.name), nameCharsMax),
    message: storable(first?.message ?? cause.message, messageCharsMax),
  };
  if (chain.length > 1)
    error.causes = chain.slice(1).map((link) => storable(`${link.name}: ${link.message}`, messageCharsMax));
  if (first?.stack !== undefined) error.stack = storable(first.stack, messageCharsMax);
  return error;
}

function codeOf(cause: AppError): string {
  if (cause.name === "Fatal") return cause.code;
  if (cause.name === "Transient") return cause.kind;
  if (cause.name === "NotYet") return "waiting";
  return cause.name === "EffectUnsettled" ? "effect_unsettled" : cause.name.toLowerCase();
}
