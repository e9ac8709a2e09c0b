import { setTimeout as sleep } from "node:timers/promises";
import type { Bus } from "../db/listen.ts";

/** Waits for news of one run. A notification that comes between two waits is not lost. */
export interface Wake {
  /** Returns at the next notification, after `millis`, or when the signal aborts; at once if one came before. */
  wait(millis: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

export function wakeOf(bus: Bus, runId: string): Wake {
  let rung = false;
  let waiting: AbortController | undefined;
  const unsubscribe = bus.subscribe("run", (id) => {
    if (id !== runId && id !== "*") return;
    rung = true;
    waiting?.abort();
  });
  return {
    async wait(millis, signal) {
      if (!rung) {
        waiting = new AbortController();
        const either = AbortSignal.any([waiting.signal, signal]);
        await sleep(millis, undefined, { signal: either }).catch(() => undefined);
        waiting = undefined;
      }
      rung = false;
    },
    close: unsubscribe,
  };
}
