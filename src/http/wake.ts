import { setTimeout as sleep } from "node:timers/promises";
import type { Bus, Topic } from "../db/listen.ts";

/** Waits for news. A notification that comes between two waits is not lost. */
export interface Wake {
  /** Returns at the next notification, after `millis`, or when the signal aborts; at once if one came before. */
  wait(millis: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

export function wakeOf(bus: Bus, runId: string): Wake {
  return wakeOn(bus, { topics: ["run"], concerns: (id) => id === runId });
}

/** Wakes for the ids that `concerns` names, whenever it is asked. */
export function wakeOn(
  bus: Bus,
  { topics, concerns }: { topics: readonly Topic[]; concerns: (id: string) => boolean },
): Wake {
  let rung = false;
  let waiting: AbortController | undefined;
  const ring = (id: string): void => {
    if (id !== "*" && !concerns(id)) return;
    rung = true;
    waiting?.abort();
  };
  const unsubscribes = topics.map((topic) => bus.subscribe(topic, ring));
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
    close: () => {
      for (const unsubscribe of unsubscribes) unsubscribe();
    },
  };
}
