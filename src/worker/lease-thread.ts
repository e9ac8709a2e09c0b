// Runs in a thread of its own: renews leases while the main thread is busy, and ends the process when it hangs.
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { openDatabase } from "../db/pool.ts";
import {
  beat,
  beatsPerLease,
  type FromThread,
  looksPerBlock,
  type ThreadData,
  type ToThread,
} from "./leases.ts";
import { mainThreadStack } from "./main-thread-stack.ts";

const { url, leaseSeconds, blockSecondsMax, alive } = workerData as ThreadData;
const seconds = new Float64Array(alive);
const held = new Map<string, number>();
const stopped = new AbortController();
const stderr = 2;
const watchMillis = Math.min(1_000, (blockSecondsMax * 1_000) / looksPerBlock);

parentPort?.on("message", (message: ToThread) => {
  if (message === "stop") stopped.abort();
  else if ("hold" in message) held.set(message.hold.runId, message.hold.epoch);
  else if (held.get(message.release.runId) === message.release.epoch) held.delete(message.release.runId);
});

const tell = (message: FromThread): void => parentPort?.postMessage(message);

async function renew(): Promise<void> {
  const db = openDatabase({ url, connectionsMax: 1, applicationName: "holdfast-leases" });
  // Connected before the first run comes; when that fails, the first beat tries again.
  await db.query({ text: "select 1", values: [] }).catch(() => undefined);
  tell({ ready: true });
  while (!stopped.signal.aborted) {
    try {
      const result = await beat({ db, held, leaseSeconds });
      if (result !== undefined) tell({ beat: result });
    } catch (error) {
      tell({ failed: (error as Error).message });
    }
    await pause((leaseSeconds * 1000) / beatsPerLease);
  }
  await db.close();
}

async function watch(): Promise<void> {
  let before = performance.now();
  while (!stopped.signal.aborted) {
    await pause(watchMillis);
    const late = performance.now() - before > 2 * watchMillis;
    before = performance.now();
    // The whole process was stopped (SIGSTOP, a sleeping machine): the main thread has had no turn either.
    if (late) continue;
    const now = performance.now() / 1000 + performance.timeOrigin / 1000;
    const blockedSeconds = now - (seconds[0] ?? now);
    if (blockedSeconds < blockSecondsMax || stopped.signal.aborted) continue;
    const line = {
      level: 60,
      msg: "the event loop is blocked: ending the process",
      blocked_seconds: blockedSeconds,
      stack: await mainThreadStack(),
    };
    writeSync(stderr, `${JSON.stringify(line)}\n`);
    process.kill(process.pid, "SIGKILL");
  }
}

const pause = (ms: number): Promise<unknown> =>
  sleep(ms, undefined, { signal: stopped.signal }).catch(() => undefined);

await Promise.all([renew(), watch()]);
parentPort?.close();
