import type { TextMemory } from "../checkpoint/text-memory.ts";
import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import type { AttemptDeps } from "../engine/attempt.ts";
import type { GroupSettle } from "../queue/group-settle.ts";
import type { Limits } from "./attempt-limits.ts";
import type { Beat, LeaseKeeper } from "./leases.ts";

export interface WorkerDeps extends AttemptDeps {
  db: Database;
  bus: Bus;
  outcomes: GroupSettle;
  texts: TextMemory;
  leases: (onBeat: (beat: Beat) => void) => LeaseKeeper;
  limits: Limits;
  /** In [0, 1), for the jitter of retries. */
  random: () => number;
}
