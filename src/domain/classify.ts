import {
  Cancelled,
  Conflict,
  DatabaseAway,
  EffectUnsettled,
  Fatal,
  InvalidInput,
  LeaseLost,
  NotFound,
  NotYet,
  ThreadBusy,
  Transient,
  type TransientKind,
  transientKinds,
} from "./errors.ts";
import { headerOf, retryAfterMs } from "./retry-after.ts";

export type AppError =
  | Cancelled
  | Conflict
  | EffectUnsettled
  | Fatal
  | InvalidInput
  | LeaseLost
  | NotFound
  | NotYet
  | ThreadBusy
  | Transient;

const ours = [
  Cancelled,
  Conflict,
  EffectUnsettled,
  Fatal,
  InvalidInput,
  LeaseLost,
  NotFound,
  NotYet,
  ThreadBusy,
  Transient,
];
const causesDepthMax = 8;

/** SQLSTATE classes and codes of a database that is away, restarting, full or busy: never the run's fault. */
const databaseAway = /^(08|57P|53|58)|^(40001|40P01|25006|25P03|55P03|57014)$/;
const socketCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_SOCKET",
]);
const poolMessages =
  /Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error|client was closed|Connection is closed/i;

/**
 * What a failed model call leads to, by the kind its room gave it. That room has read status, headers and causes;
 * its message may quote the model's own words, so nothing here is decided by the text.
 */
const modelFailures: Readonly<Record<string, { transient: TransientKind } | { fatal: string }>> = {
  network: { transient: "network" },
  timeout: { transient: "timeout" },
  server: { transient: "timeout" },
  rate_limit: { transient: "rate_limit" },
  auth: { fatal: "invalid_key" },
  quota: { fatal: "quota_exceeded" },
  context_length: { fatal: "context_length" },
  bad_request: { fatal: "bad_request" },
  bad_answer: { fatal: "bad_answer" },
  schema: { fatal: "bad_answer" },
};

/** Where a model that is not to be asked now did not say until when. */
const unavailableMsDefault = 5_000;

interface Traits {
  code?: unknown;
  kind?: unknown;
  status?: unknown;
  name?: unknown;
  message?: unknown;
  headers?: unknown;
  retryAfterMs?: unknown;
  severity?: unknown;
  query?: unknown;
}

/** True for a link that broke and for a server that is away, full or busy, as the database driver reports it. */
export function isDatabaseFault(error: unknown): boolean {
  const { code, message, severity } = (error ?? {}) as Traits;
  if (severity !== undefined) return typeof code === "string" && databaseAway.test(code);
  if (typeof code === "string" && socketCodes.has(code)) return true;
  return typeof message === "string" && poolMessages.test(message);
}

/** True when our own database could not be reached or asked to be tried again; the pool names its errors so. */
export function isDatabaseAway(error: unknown): boolean {
  return causeChain(error).some((link) => {
    // By class: graph code may give any name to its errors, and this one is retried uncharged.
    return link instanceof DatabaseAway;
  });
}

/** Total: every thrown thing becomes one of our errors, its origin kept as `cause`. */
export function classify(error: unknown): AppError {
  const chain = causeChain(error);
  for (const link of chain) for (const kind of ours) if (link instanceof kind) return link as AppError;
  const byName = chain.find((link) => ours.some((kind) => kind.name === (link as Traits).name));
  if (byName !== undefined) return fromForeignCopy(byName as Error & Traits);
  const model = chain.find((link) => (link as Traits).name === "ModelError");
  if (model !== undefined) return fromModelError(model as Traits, error);
  if (isDatabaseAway(error))
    return new Transient("the database could not be reached", { kind: "database", cause: error });
  for (const link of chain) {
    const known = fromTraits(link as Traits, error);
    if (known !== undefined) return known;
  }
  const { message, name } = (chain[0] ?? {}) as Traits;
  return new Fatal(textOf(message ?? error), {
    code: typeof name === "string" && name !== "Error" ? snake(name) : "error",
    cause: error,
  });
}

function fromModelError(link: Traits, error: unknown): AppError {
  const failure = modelFailures[textOf(link.kind)] ?? { fatal: "bad_answer" };
  const message = textOf(link.message);
  if (link.kind === "unavailable") {
    return new NotYet(message, {
      cause: error,
      retryAfterMs: retryAfter(link).retryAfterMs ?? unavailableMsDefault,
    });
  }
  if ("fatal" in failure) return new Fatal(message, { code: failure.fatal, cause: error });
  return new Transient(message, { kind: failure.transient, cause: error, ...retryAfter(link) });
}

function fromTraits(link: Traits, error: unknown): AppError | undefined {
  const { status, code, name } = link;
  // A database that graph code talks to: its faults are charged, or a statement that never works is tried for ever.
  if (link.severity !== undefined && isDatabaseFault(link))
    return new Transient(`a database of the graph: ${textOf(link.message)}`, {
      kind: "network",
      cause: error,
    });
  if (name === "GraphRecursionError")
    return new Fatal(textOf(link.message), { code: "recursion_limit", cause: error });
  if (name === "UnstorableValue")
    return new Fatal(textOf(link.message), { code: "unstorable_value", cause: error });
  if (typeof status === "number") return fromHttpStatus(status, link, error);
  if (typeof code === "string" && socketCodes.has(code)) return network(link, error);
  if (isConnectionError(link)) return network(link, error);
  if (name === "TimeoutError" || name === "APIConnectionTimeoutError")
    return new Transient(`timed out: ${textOf(link.message)}`, { kind: "timeout", cause: error });
  if (name === "RateLimitCapacityError")
    return new Transient(textOf(link.message), { kind: "rate_limit", cause: error, ...retryAfter(link) });
  return undefined;
}

/** The provider's client gives its connection errors a class, but leaves their name at "Error". */
function isConnectionError(link: Traits): boolean {
  if (link.name === "APIConnectionError" || link.message === "terminated") return true;
  return link instanceof Error && link.constructor.name === "APIConnectionError";
}

function fromHttpStatus(status: number, link: Traits, error: unknown): AppError | undefined {
  const message = `the provider answered ${status}: ${textOf(link.message)}`;
  // A spent quota comes as 429 too, but waiting does not refill it.
  if (status === 402 || link.code === "insufficient_quota")
    return new Fatal(message, { code: "quota_exceeded", cause: error });
  if (status === 429)
    return new Transient(message, { kind: "rate_limit", cause: error, ...retryAfter(link) });
  if (status === 408 || status === 409 || status === 425 || status >= 500)
    return new Transient(message, { kind: "timeout", cause: error, ...retryAfter(link) });
  if (status === 401 || status === 403) return new Fatal(message, { code: "invalid_key", cause: error });
  if (status >= 400) return new Fatal(message, { code: "bad_request", cause: error });
  return undefined;
}

function network(link: Traits, error: unknown): Transient {
  return new Transient(`network: ${textOf(link.message)}`, { kind: "network", cause: error });
}

function retryAfter(link: Traits): { retryAfterMs?: number } {
  if (typeof link.retryAfterMs === "number" && link.retryAfterMs >= 0)
    return { retryAfterMs: link.retryAfterMs };
  const millis = retryAfterMs(headerOf(link.headers));
  return millis === undefined ? {} : { retryAfterMs: millis };
}

/** Graphs may load another copy of our module: the name is then all that is left to tell by. It can ask for a retry,
 * and for nothing that only the runtime may say. */
function fromForeignCopy(error: Error & Traits): AppError {
  if (error.name === "Transient") {
    const kind = transientKinds.find((known) => known === error.kind) ?? "timeout";
    return new Transient(error.message, { kind, cause: error, ...retryAfter(error) });
  }
  return new Fatal(error.message, {
    cause: error,
    code: typeof error.code === "string" ? error.code : "error",
  });
}

/** The error and its causes (and the members of an AggregateError), outermost first, bounded. */
export function causeChain(error: unknown): unknown[] {
  const chain: unknown[] = [];
  const open: unknown[] = [error];
  while (open.length > 0 && chain.length < causesDepthMax) {
    const next = open.shift();
    if (next === null || (typeof next !== "object" && typeof next !== "string")) continue;
    if (chain.includes(next)) continue;
    chain.push(next);
    const { cause, errors } = next as { cause?: unknown; errors?: unknown };
    if (cause !== undefined) open.push(cause);
    if (Array.isArray(errors)) open.push(...errors.slice(0, causesDepthMax));
  }
  return chain;
}

/** Anything may be thrown, also what cannot be made a text. */
function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "something without a text was thrown";
  }
}

const snake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
