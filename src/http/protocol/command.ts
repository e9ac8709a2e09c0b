import { classify } from "../../domain/classify.ts";
import {
  Conflict,
  InvalidInput,
  NotFound,
  ThreadBusy,
  Transient,
  UnstorableValue,
} from "../../domain/errors.ts";
import type { HttpDeps } from "../deps.ts";
import { Refused } from "../errors.ts";
import type { Command } from "../schemas/protocol.ts";

export type ErrorCode =
  | "invalid_argument"
  | "unknown_command"
  | "unknown_error"
  | "no_such_run"
  | "no_such_subscription"
  | "no_such_interrupt"
  | "no_such_checkpoint"
  | "permission_denied"
  | "not_supported";

/** A command that was refused before anything was done. */
export class CommandRefused extends Error {
  override readonly name = "CommandRefused";
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface CommandError {
  type: "error";
  id: number | null;
  error: ErrorCode;
  message: string;
}

export const commandError = (id: number | null, error: ErrorCode, message: string): CommandError => ({
  type: "error",
  id,
  error,
  message,
});

/** What a failure is in the protocol. A database that is away is thrown on: a client repeats the request. */
export function commandErrorOf(
  { log }: Pick<HttpDeps, "log">,
  { id, method }: Command,
  thrown: unknown,
): CommandError {
  if (thrown instanceof CommandRefused) return commandError(id, thrown.code, thrown.message);
  if (thrown instanceof Refused && thrown.status < 500)
    return commandError(id, thrown.status === 403 ? "permission_denied" : "invalid_argument", thrown.message);
  if (thrown instanceof UnstorableValue) return commandError(id, "invalid_argument", thrown.message);
  const known = classify(thrown);
  if (known instanceof Transient) throw thrown;
  if (known instanceof InvalidInput || known instanceof ThreadBusy || known instanceof NotFound)
    return commandError(id, "invalid_argument", known.message);
  // An answer that came second, or to a question that is not asked any more.
  if (known instanceof Conflict)
    return commandError(
      id,
      method === "input.respond" ? "no_such_interrupt" : "invalid_argument",
      known.message,
    );
  log.error({ error: thrown, method }, "a command failed");
  return commandError(id, "unknown_error", "Internal Server Error");
}
