import { Worker as Thread } from "node:worker_threads";
import type { Database } from "../db/pool.ts";
import { renewLeases } from "../db/queries/claim.ts";
import type { CancelAction } from "../domain/run.ts";
import type { Log } from "../observe/log.ts";

export interface HeldLease {
  runId: string;
  epoch: number;
}

/** What a beat found out about the runs it was asked to renew. */
export interface Beat {
  asked: HeldLease[];
  renewed: { runId: string; cancelRequested: CancelAction | null }[];
}

/** Keeps the leases of a worker's runs alive. */
export interface LeaseKeeper {
  /** Resolves when renewals can begin: a run that blocks this thread at once must not lose its lease. */
  ready: Promise<void>;
  hold(lease: HeldLease): void;
  /** Only this holding of it: the same run may be held again under a later epoch. */
  release(lease: HeldLease): void;
  stop(): Promise<void>;
}

export interface LeaseOptions {
  leaseSeconds: number;
  onBeat: (beat: Beat) => void;
  log: Log;
}

/** Beats per lease: two may be lost before a lease runs out. */
export const beatsPerLease = 3;

/** In this thread: for tests, and for programs that mount Holdfast. A blocked event loop loses its leases. */
export function keepLeasesHere({
  db,
  leaseSeconds,
  onBeat,
  log,
}: LeaseOptions & { db: Database }): LeaseKeeper {
  const held = new Map<string, number>();
  let beating = Promise.resolve();
  const timer = setInterval(
    () => {
      beating = beat({ db, held, leaseSeconds })
        .then((result) => result && onBeat(result))
        .catch((error: unknown) => log.warn({ error }, "leases could not be renewed"));
    },
    (leaseSeconds * 1000) / beatsPerLease,
  );
  return {
    ready: Promise.resolve(),
    hold: ({ runId, epoch }) => held.set(runId, epoch),
    release: ({ runId, epoch }) => {
      if (held.get(runId) === epoch) held.delete(runId);
    },
    async stop() {
      clearInterval(timer);
      await beating;
    },
  };
}

/** One renewal of all held leases in one statement; undefined when there are none. */
export async function beat({
  db,
  held,
  leaseSeconds,
}: {
  db: Database;
  held: Map<string, number>;
  leaseSeconds: number;
}): Promise<Beat | undefined> {
  const asked = [...held].map(([runId, epoch]) => ({ runId, epoch }));
  if (asked.length === 0) return undefined;
  const renewed = await renewLeases(db, {
    runIds: asked.map(({ runId }) => runId),
    epochs: asked.map(({ epoch }) => epoch),
    leaseSeconds,
  });
  return { asked, renewed };
}

/** What the thread is told, and what it tells. */
export type ToThread = { hold: HeldLease } | { release: HeldLease } | "stop";
export type FromThread = { ready: true } | { beat: Beat } | { failed: string };
export interface ThreadData {
  url: string;
  leaseSeconds: number;
  blockSecondsMax: number;
  /** When the main thread was last seen alive, in seconds since 1970, written by itself. */
  alive: SharedArrayBuffer;
}

/** How often the main thread shows that it lives, and how often that is looked at, while it may be blocked. */
export const looksPerBlock = 4;
const aliveMillisMax = 1_000;

/**
 * In a thread of its own, so that one blocked run does not cost its neighbours their leases. The thread also watches
 * the main one, and kills the process when that has not moved for `blockSecondsMax`.
 */
export function keepLeasesInThread(
  options: LeaseOptions & { url: string; blockSecondsMax: number },
): LeaseKeeper {
  const { url, leaseSeconds, blockSecondsMax, onBeat, log } = options;
  const alive = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  const seconds = new Float64Array(alive);
  const mark = (): void => {
    seconds[0] = performance.now() / 1000 + performance.timeOrigin / 1000;
  };
  mark();
  const timer = setInterval(mark, Math.min(aliveMillisMax, (blockSecondsMax * 1_000) / looksPerBlock));
  const typescript = import.meta.url.endsWith(".ts");
  const workerData: ThreadData = { url, leaseSeconds, blockSecondsMax, alive };
  const thread = new Thread(
    new URL(typescript ? "./lease-thread.ts" : "./lease-thread.js", import.meta.url),
    {
      workerData,
      ...(typescript ? { execArgv: ["--conditions=holdfast-source", "--import", "tsx"] } : {}),
    },
  );
  let begin: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    begin = resolve;
  });
  thread.on("message", (message: FromThread) => {
    if ("ready" in message) begin();
    else if ("beat" in message) onBeat(message.beat);
    else log.warn({ reason: message.failed }, "leases could not be renewed");
  });
  // Without its thread a worker would work on with leases that run out: better it dies at once and is replaced.
  thread.on("error", (error) => {
    log.error({ error }, "the lease thread failed");
    process.exitCode = 1;
    setImmediate(() => {
      throw error;
    });
  });
  const send = (message: ToThread): void => thread.postMessage(message);
  return {
    ready,
    hold: (lease) => send({ hold: lease }),
    release: (lease) => send({ release: lease }),
    async stop() {
      clearInterval(timer);
      const ended = new Promise((resolve) => thread.once("exit", resolve));
      send("stop");
      await ended;
    },
  };
}
