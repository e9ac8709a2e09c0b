import { headerOf, retryAfterMs } from "../domain/retry-after.ts";

/**
 * What can go wrong when a model is called, named so that one table (domain/classify.ts) can decide about it:
 * `retry` later, `fix-request` (our request or key is wrong), `bad-answer` (the repair loop, or a human).
 */
export type ModelErrorKind =
  | "network"
  | "timeout"
  | "rate_limit"
  | "server"
  /** Not asked at all: its breaker is open, or too many calls are under way. */
  | "unavailable"
  | "auth"
  | "quota"
  | "context_length"
  | "bad_request"
  | "bad_answer"
  | "schema";

export type ModelErrorCure = "retry" | "fix-request" | "bad-answer";

const cures: Readonly<Record<ModelErrorKind, ModelErrorCure>> = {
  network: "retry",
  timeout: "retry",
  rate_limit: "retry",
  server: "retry",
  unavailable: "retry",
  auth: "fix-request",
  quota: "fix-request",
  context_length: "fix-request",
  bad_request: "fix-request",
  bad_answer: "bad-answer",
  schema: "bad-answer",
};

interface ModelErrorDetails {
  cause?: unknown;
  status?: number | undefined;
  retryAfterMs?: number | undefined;
  issues?: readonly SchemaIssue[];
}

/** One place of an answer that does not fit its schema; `path` is dotted. */
export interface SchemaIssue {
  path: string;
  message: string;
}

/** The one error that leaves the models room; the provider's own error is its `cause`. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  readonly kind: ModelErrorKind;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly issues: readonly SchemaIssue[];

  constructor(kind: ModelErrorKind, message: string, details: ModelErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.kind = kind;
    this.status = details.status;
    this.retryAfterMs = details.retryAfterMs;
    this.issues = details.issues ?? [];
  }

  get cure(): ModelErrorCure {
    return cures[this.kind];
  }
}

const networkCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_CONNECT_TIMEOUT",
]);

const timeoutCodes: ReadonlySet<string> = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

/** Cause chains of fetch are two or three deep; a longer one is a loop. */
const causeDepthMax = 5;

/** Gives any error of the model client its kind. Total: what is not known becomes `bad_answer`, which is not retried. */
export function toModelError(error: unknown, nowMs: number = Date.now()): ModelError {
  const chain = [...causes(error)];
  // The wrapped fetch throws our own error inside the client, which may wrap it again.
  const own = chain.find((link) => link instanceof ModelError);
  if (own !== undefined) return own as ModelError;
  const text = error instanceof Error ? firstLine(error.message) : String(error);
  const status = readNumber(error, "status");
  if (status !== undefined) return fromStatus({ status, text, nowMs }, error);
  if (chain.some(isTimeout))
    return new ModelError("timeout", `the model did not answer in time: ${text}`, { cause: error });
  if (chain.some(isNetwork))
    return new ModelError("network", `the link to the model broke: ${text}`, { cause: error });
  // An error event inside a stream that began with 200: it has no status, and the provider is at fault.
  if (error instanceof Error && error.constructor.name === "APIError")
    return new ModelError("server", `the model broke off: ${text}`, { cause: error });
  if (error instanceof Error && error.name === "ContextOverflowError")
    return new ModelError("context_length", text, { cause: error });
  return new ModelError("bad_answer", `the model's answer could not be read: ${text}`, { cause: error });
}

interface StatusAnswer {
  status: number;
  text: string;
  nowMs: number;
}

function fromStatus({ status, text, nowMs }: StatusAnswer, cause: unknown): ModelError {
  const asked = retryAfterMs(headerOf(readField(cause, "headers")), nowMs);
  const details = { cause, status, retryAfterMs: asked ?? readNumber(cause, "retryAfterMs") };
  const message = `the model answered ${status}: ${text}`;
  if (status === 429) return new ModelError(isQuota(cause) ? "quota" : "rate_limit", message, details);
  if (status === 408) return new ModelError("timeout", message, details);
  if (status === 402) return new ModelError("quota", message, details);
  if (status === 401 || status === 403) return new ModelError("auth", message, details);
  if (status === 413 || /context.length|maximum context|exceeds the context window/i.test(text))
    return new ModelError("context_length", message, details);
  if (status >= 500 || status === 409 || status === 425) return new ModelError("server", message, details);
  return new ModelError("bad_request", message, details);
}

/** A spent quota comes as 429 too, but waiting does not refill it. */
function isQuota(error: unknown): boolean {
  return readText(error, "code") === "insufficient_quota" || readText(error, "type") === "insufficient_quota";
}

function isTimeout(error: unknown): boolean {
  if (readText(error, "name") === "TimeoutError") return true;
  return timeoutCodes.has(readText(error, "code") ?? "");
}

function isNetwork(error: unknown): boolean {
  if (networkCodes.has(readText(error, "code") ?? "")) return true;
  if (error instanceof Error && error.constructor.name === "APIConnectionError") return true;
  return error instanceof TypeError && (error.message === "terminated" || error.message === "fetch failed");
}

function* causes(error: unknown): Generator<unknown> {
  let current: unknown = error;
  for (let depth = 0; depth < causeDepthMax && current instanceof Error; depth++) {
    yield current;
    current = current.cause;
  }
}

/** LangChain appends a page address on lines of its own; it says nothing to the reader of a log. */
const firstLine = (text: string): string => text.split("\n", 1)[0]?.slice(0, 500) ?? "";

function readField(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function readNumber(value: unknown, key: string): number | undefined {
  const field = readField(value, key);
  return typeof field === "number" && Number.isFinite(field) ? field : undefined;
}

function readText(value: unknown, key: string): string | undefined {
  const field = readField(value, key);
  return typeof field === "string" ? field : undefined;
}
