import type { MiddlewareHandler } from "hono";
import { type HttpDeps, type HttpEnv, incomingOf, type RequestContext } from "./deps.ts";
import { Refused } from "./errors.ts";

/** Callers remembered at once; the one not seen for longest is forgotten first. */
const callersMax = 10_000;

interface Bucket {
  tokens: number;
  at: number;
}

/** A bucket of one second's requests for each caller. Each process counts for itself. */
export class RateLimiter {
  readonly #perSecond: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Seconds to wait until the next request; 0 when this one may pass. */
  take(caller: string, now: number): number {
    const { tokens, at } = this.#buckets.get(caller) ?? { tokens: this.#perSecond, at: now };
    const filled = Math.min(this.#perSecond, tokens + ((now - at) / 1000) * this.#perSecond);
    const allowed = filled >= 1;
    // A Map keeps the order of insertion: the first is the one not seen for longest.
    this.#buckets.delete(caller);
    this.#buckets.set(caller, { tokens: allowed ? filled - 1 : filled, at: now });
    if (this.#buckets.size > callersMax) this.#buckets.delete(this.#buckets.keys().next().value ?? caller);
    return allowed ? 0 : (1 - filled) / this.#perSecond;
  }
}

const uncounted = new Set(["/livez", "/readyz", "/metrics"]);

export function limitRate(perSecond: number): MiddlewareHandler<HttpEnv> {
  const limiter = new RateLimiter(Math.max(1, perSecond));
  return async (c, next) => {
    if (perSecond <= 0 || uncounted.has(c.req.path)) return next();
    const seconds = limiter.take(callerOf(c), performance.now());
    if (seconds === 0) return next();
    throw new Refused(429, "Too Many Requests", { headers: { "retry-after": String(Math.ceil(seconds)) } });
  };
}

/** Whom limits count for: the key, or the address without one. */
export function callerOf(c: RequestContext): string {
  const { name, tenant } = c.get("principal");
  if (name !== "anonymous") return `${tenant}/${name}`;
  return incomingOf(c)?.socket.remoteAddress ?? "local";
}

/** Takes a slot before anything else is done, so that a refused request has made no run. `open` passes `onClose` on. */
export async function inSlot(
  { slots }: HttpDeps,
  c: RequestContext,
  open: (onClose: () => void) => Promise<Response>,
): Promise<Response> {
  const onClose = slots.take(callerOf(c));
  try {
    return await open(onClose);
  } catch (error) {
    onClose();
    throw error;
  }
}
