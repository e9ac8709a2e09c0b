import { setTimeout as sleep } from "node:timers/promises";
import { dice } from "./dice.ts";
import type { Plant } from "./plant.ts";

export interface NemesisOptions {
  seed: number;
  /** Mean time between two kills; each pause is half of it to one and a half times it. */
  killMillis: number;
  postgresMillis: number;
  /** After so many kills it rests, so that the runs get to their end on a slow machine too. */
  killsMax: number;
  postgresCrashesMax: number;
}

export interface Nemesis {
  readonly kills: number;
  readonly restarts: number;
  stop(): Promise<void>;
}

/** Kills one worker after the other with -9, and Postgres now and then. The seed gives the schedule. */
export function startNemesis(
  plant: Plant,
  { seed, killMillis, postgresMillis, killsMax, postgresCrashesMax }: NemesisOptions,
): Nemesis {
  const random = dice(seed);
  const stopped = new AbortController();
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: stopped.signal }).catch(() => undefined);
  const counts = { kills: 0, restarts: 0 };
  const killing = (async () => {
    while (!stopped.signal.aborted && counts.kills < killsMax) {
      await pause(killMillis * (0.5 + random()));
      const place = Math.floor(random() * plant.workers.length);
      if (!stopped.signal.aborted && plant.killWorker(place)) counts.kills += 1;
    }
  })();
  const restarting = (async () => {
    while (!stopped.signal.aborted && counts.restarts < postgresCrashesMax) {
      await pause(postgresMillis);
      if (stopped.signal.aborted) return;
      await plant.crashPostgres();
      counts.restarts += 1;
    }
  })();
  return {
    get kills() {
      return counts.kills;
    },
    get restarts() {
      return counts.restarts;
    },
    async stop() {
      stopped.abort();
      await Promise.all([killing, restarting]);
    },
  };
}
