import { type BulkheadPolicy, bulkhead, isBulkheadRejectedError } from "cockatiel";
import { ModelError } from "./model-error.ts";

export const modelConcurrencyDefault = 32;
const waitingMax = 1_000;
const waitMillisMax = 30_000;
const retryAfterMs = 2_000;

/** Gives the slot back. May be called more than once. */
export type Release = () => void;

/** How many requests are under way at once, for each provider. */
export interface Slots {
  acquire(provider: string, signal: AbortSignal | undefined): Promise<Release>;
}

/** Limits of this process. Who waits longer than half a minute is told to come back. */
export function openSlots(concurrencyMax: number = modelConcurrencyDefault): Slots {
  const providers = new Map<string, BulkheadPolicy>();
  return {
    acquire(provider, signal) {
      const policy = providers.get(provider) ?? bulkhead(concurrencyMax, waitingMax);
      providers.set(provider, policy);
      return acquire(policy, provider, signal);
    },
  };
}

/** The policy runs functions; here the function is what lies between acquire and release. */
async function acquire(
  policy: BulkheadPolicy,
  provider: string,
  signal: AbortSignal | undefined,
): Promise<Release> {
  if (signal?.aborted) throw signal.reason;
  const busy = (cause?: unknown): ModelError =>
    new ModelError("unavailable", `too many calls of ${provider} are under way`, { retryAfterMs, cause });
  let release: Release = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let timer: NodeJS.Timeout | undefined;
  let giveUp: () => void = () => undefined;
  const granted = new Promise<void>((resolve, reject) => {
    giveUp = () => reject(signal?.reason ?? busy());
    timer = setTimeout(() => reject(busy()), waitMillisMax);
    signal?.addEventListener("abort", giveUp, { once: true });
    const run = (): Promise<void> => {
      resolve();
      return held;
    };
    policy
      .execute(run)
      .catch((error: unknown) => reject(isBulkheadRejectedError(error) ? busy(error) : error));
  });
  try {
    await granted;
    return release;
  } catch (error) {
    // Whoever gives up while waiting frees the slot as soon as its turn comes.
    release();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}
