// Errors are named by their cure; http/errors.ts and domain/retry.ts are the only places that act on the name.

/** The caller must change the request. `field` names what was wrong with it. */
export class InvalidInput extends Error {
  override readonly name = "InvalidInput";
  readonly field: string | undefined;
  constructor(message: string, options?: ErrorOptions & { field?: string }) {
    super(message, options);
    this.field = options?.field;
  }
}

export class NotFound extends Error {
  override readonly name = "NotFound";
}

/** The request is fine but comes at the wrong time. `detail` goes to the client on our own routes. */
export class Conflict extends Error {
  override readonly name = "Conflict";
  readonly detail: unknown;
  constructor(message: string, options?: ErrorOptions & { detail?: unknown }) {
    super(message, options);
    this.detail = options?.detail;
  }
}

/** A second run for a thread that rejects them. Its own class: the wire answers 422, not 409. */
export class ThreadBusy extends Error {
  override readonly name = "ThreadBusy";
}

export const transientKinds = ["timeout", "rate_limit", "network", "database"] as const;
export type TransientKind = (typeof transientKinds)[number];

/** Trying again later is the cure. Graph code may throw it; `retryAfterMs` overrides the backoff. */
export class Transient extends Error {
  override readonly name = "Transient";
  readonly kind: TransientKind;
  readonly retryAfterMs: number | undefined;
  constructor(message: string, options?: ErrorOptions & { kind?: TransientKind; retryAfterMs?: number }) {
    super(message, options);
    this.kind = options?.kind ?? "timeout";
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/**
 * Nothing failed: what the run needs is away for a known time. It comes back then, and no attempt is charged, so
 * whoever throws it must bound how often.
 */
export class NotYet extends Error {
  override readonly name = "NotYet";
  readonly retryAfterMs: number;
  constructor(message: string, options: ErrorOptions & { retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Trying again will not help. `code` lands in the run's error. */
export class Fatal extends Error {
  override readonly name = "Fatal";
  readonly code: string;
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(message, options);
    this.code = options?.code ?? "error";
  }
}

/** Thrown by a tool that knows its call has not taken place, whatever else went wrong: it may be sent again. */
export class NotDone extends Error {
  override readonly name = "NotDone";
}

/** Whether an effect took place is not known yet: the attempt ends uncharged and looks again after `waitMs`. */
export class EffectUnsettled extends Error {
  override readonly name = "EffectUnsettled";
  readonly waitMs: number;
  constructor(message: string, options: ErrorOptions & { waitMs: number }) {
    super(message, options);
    this.waitMs = options.waitMs;
  }
}

/** Somebody asked this run to stop. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
}

/** Another holder has the thread now: write nothing. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

/** Postgres could not be reached, or its answer was lost: the statement may or may not have taken place. */
export class DatabaseAway extends Error {
  override readonly name = "DatabaseAway";
}

/** A value that cannot be stored and read back equal. `path` is where it sits, e.g. `$.messages[2].when`. */
export class UnstorableValue extends Error {
  override readonly name = "UnstorableValue";
  readonly path: string;
  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`);
    this.path = path;
  }
}
