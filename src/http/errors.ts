import { classify } from "../domain/classify.ts";
import {
  Conflict,
  InvalidInput,
  NotFound,
  ThreadBusy,
  Transient,
  UnstorableValue,
} from "../domain/errors.ts";
import type { Log } from "../observe/log.ts";

const retryAfterSeconds = 1;

export interface Issue {
  path: (string | number)[];
  message: string;
  code: string;
  /** As the Agent Server words a bad id. */
  validation?: string;
}

/** A request that was refused before anything was done. With `issues` the answer is JSON, else plain text. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly status: number;
  readonly issues: Issue[] | undefined;
  readonly headers: Record<string, string>;
  constructor(
    status: number,
    message: string,
    options?: { issues?: Issue[]; headers?: Record<string, string> },
  ) {
    super(message);
    this.status = status;
    this.issues = options?.issues;
    this.headers = options?.headers ?? {};
  }
}

/** What an error means on the wire, before it is known in which dress it goes out. */
interface Answer {
  status: number;
  message: string;
  issues?: Issue[] | undefined;
  detail?: unknown;
  headers?: Record<string, string>;
}

/**
 * The one place where errors become responses. Clients of the Agent Server match on plain text; our own routes
 * answer with problem details.
 */
export function toResponse(error: unknown, { path, log }: { path: string; log: Log }): Response {
  const answer = answerOf(error);
  if (answer.status >= 500 && answer.status !== 503) log.error({ error, path }, "request failed");
  else if (answer.status === 503) log.warn({ error, path }, "database away");
  return isOwnRoute(path) ? problem(answer) : agentServerError(answer);
}

function answerOf(error: unknown): Answer {
  if (error instanceof Refused) return error;
  if (error instanceof UnstorableValue) return invalid(error.message, error.path);
  const data = dataException(error);
  if (data !== undefined) return invalid(`a value cannot be stored: ${data}`, "body");
  const known = classify(error);
  if (known instanceof InvalidInput) return invalid(known.message, known.field);
  if (known instanceof NotFound) return { status: 404, message: known.message };
  if (known instanceof Conflict) return { status: 409, message: known.message, detail: known.detail };
  if (known instanceof ThreadBusy) return { status: 422, message: known.message };
  if (known instanceof Transient) {
    return {
      status: 503,
      message: "the database is away",
      headers: { "retry-after": String(retryAfterSeconds) },
    };
  }
  return { status: 500, message: "Internal Server Error" };
}

const invalid = (message: string, field: string | undefined): Answer => ({
  status: 422,
  message,
  issues: [{ path: field === undefined ? [] : field.split("."), message, code: "custom" }],
});

/** SQLSTATE class 22: a value that passed the door but that Postgres refuses. The caller's fault, not ours. */
function dataException(error: unknown): string | undefined {
  const { code, severity, message } = (error ?? {}) as {
    code?: unknown;
    severity?: unknown;
    message?: unknown;
  };
  return severity !== undefined && typeof code === "string" && code.startsWith("22")
    ? String(message)
    : undefined;
}

function agentServerError({ status, message, issues, headers }: Answer): Response {
  if (issues === undefined)
    return new Response(message, {
      status,
      headers: { "content-type": "text/plain; charset=UTF-8", ...headers },
    });
  return Response.json(
    { success: false, error: { issues, name: "ZodError" } },
    { status, headers: { ...headers } },
  );
}

/** RFC 9457. */
function problem({ status, message, issues, detail, headers }: Answer): Response {
  const field = issues?.[0]?.path.join(".");
  const body = {
    type: "about:blank",
    title: titles[status] ?? "Error",
    status,
    detail: issues?.[0]?.message ?? message,
    ...(field === undefined || field === "" ? {} : { field }),
    ...(typeof detail === "object" && detail !== null ? detailMembers(detail) : {}),
  };
  return Response.json(body, { status, headers: { "content-type": "application/problem+json", ...headers } });
}

/** Extension members of a conflict; none of them may hide a standard one. */
const detailMembers = (detail: object): Record<string, unknown> =>
  "effects" in detail ? { effects: detail.effects } : { winner: detail };

export const titles: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  413: "Content Too Large",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

const ownRoutes =
  /^\/(escalations|dead-letters|breakers|webhooks)(\/|$)|^\/threads\/[^/]+\/(effects|explain)$/;
/** Whether errors of this route are problem details. */
export const isOwnRoute = (path: string): boolean => ownRoutes.test(path);
