import { setTimeout as wait } from "node:timers/promises";

/** Waits inside a node; a cancel or a drain ends the wait at once. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (milliseconds > 0) await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
}
