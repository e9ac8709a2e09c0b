// One of several processes under a parent: what it hears from there, and says.
// Read next: processes.ts, which is the parent.
import cluster from "node:cluster";
import type { MetricsOfEach } from "./observe/metrics.ts";
import { type FromParent, shareMetrics, type ToParent } from "./observe/shared-metrics.ts";

export interface Membership {
  /** Resolves when the parent wants this process to stop. When the parent is gone the channel to it is, too. */
  stopWanted: Promise<void>;
  /** Gives the metrics of every process. */
  metricsOfAll: MetricsOfEach;
  /** Says that this process serves. */
  up(): void;
}

export function joinParent(): Membership {
  if (cluster.worker === undefined)
    throw new Error("this command is for the program itself: PROCESSES=2 starts it");
  // Without it the end of the parent would end this process at once, in the middle of its runs.
  cluster.worker.exitedAfterDisconnect = true;
  const send = (message: ToParent): void => {
    if (process.connected) process.send?.(message);
  };
  const onMessage = (listener: (message: FromParent) => void): void => {
    process.on("message", listener);
  };
  return {
    stopWanted: new Promise((resolve) => {
      onMessage((message) => {
        if ("stop" in message) resolve();
      });
    }),
    metricsOfAll: (own) => shareMetrics({ send, onMessage }, own),
    up: () => send({ up: true }),
  };
}
