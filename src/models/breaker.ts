import type { Database } from "../db/pool.ts";
import * as breakers from "../db/queries/breakers.ts";
import { one } from "../db/query.ts";
import type { Log } from "../observe/log.ts";
import { ModelError, type ModelErrorKind } from "./model-error.ts";

/** Failures in a row that open a breaker, how long it stays open, and how long its one probe may take. */
export const breakerLimits = { failuresMax: 5, openMs: 60_000, probeMs: 60_000 } as const;

/** Who waits for another's probe looks again this often. */
const probeLookMs = 5_000;

/**
 * What counts against a model: it is down or too slow. A rate limit does not, for it says when to come back and other
 * callers may still be served; neither does an answer that refuses the request.
 */
const failureKinds: ReadonlySet<ModelErrorKind> = new Set(["timeout", "server", "network"]);
export const isBreakerFailure = (error: unknown): boolean =>
  error instanceof ModelError && failureKinds.has(error.kind);

/** One request that was let through. One of the three is called, once. */
export interface Pass {
  succeeded(): Promise<void>;
  failed(): Promise<void>;
  /** Nobody knows: the caller went away. */
  givenUp(): Promise<void>;
}

export interface Breaker {
  /** Throws ModelError `unavailable`, with the time to wait, while the target is not to be asked. */
  admit(target: string): Promise<Pass>;
}

export const unavailable = (target: string, retryAfterMs: number): ModelError =>
  new ModelError("unavailable", `${target} has failed too often: it is not asked for now`, { retryAfterMs });

interface Deps {
  db: Database;
  log: Log;
  /** Repeats a statement while the database is away. */
  read: <T>(statement: () => Promise<T>) => Promise<T>;
}

/** The breaker that all workers share. */
export function sharedBreaker({ db, log, read }: Deps): Breaker {
  /** The answer is there already: it must not be lost because a breaker could not be told. */
  const tell = async (target: string, move: () => Promise<breakers.BreakerRow[]>): Promise<void> => {
    try {
      const row = one(await move());
      if (row !== undefined && row.state !== "closed")
        log.warn({ target, state: row.state }, "breaker moved");
    } catch (error) {
      log.warn({ error, target }, "a breaker could not be told");
    }
  };
  return {
    async admit(target) {
      const { openMs, probeMs, failuresMax } = breakerLimits;
      const admission = one(await read(() => breakers.admit(db, { target, openMs, probeMs })));
      const { state = "closed", probe = null, waitMs = 0 } = admission ?? {};
      if (state !== "closed" && probe === null)
        throw unavailable(target, state === "open" ? waitMs || openMs : Math.min(waitMs, probeLookMs) || 1);
      return {
        succeeded: () => tell(target, () => breakers.succeeded(db, { target, probe })),
        failed: () => tell(target, () => breakers.failed(db, { target, probe, failuresMax })),
        givenUp: async () => {
          if (probe !== null) await tell(target, () => breakers.probeGivenUp(db, { target, probe }));
        },
      };
    },
  };
}
