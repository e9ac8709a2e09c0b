// Thousands of runs under continuous kill -9. Everything that can die here does; at the end the sink's log, and not
// our own tables, says whether each effect took place once.
import { setTimeout as sleep } from "node:timers/promises";
import type { EffectLine } from "../support/effect-log.ts";
import type { SinkOptions } from "../support/effect-sink-server.ts";
import { createRuns, type PlannedRun, planRuns } from "./load.ts";
import { type Nemesis, startNemesis } from "./nemesis.ts";
import { type Plant, startPlant } from "./plant.ts";
import { startRobot } from "./robot.ts";
import { judge } from "./verdict.ts";

export interface ChaosOptions {
  runs: number;
  seed: number;
  killMillis: number;
  postgresMillis: number;
  killsMax: number;
  postgresCrashesMax: number;
  secondsMax: number;
  modelFaultRate: number;
  say?: (line: string) => void;
  /** Ends it early, with nothing left behind. */
  signal?: AbortSignal;
}

export const chaosDefaults = {
  runs: 500,
  seed: 20_261_120,
  killMillis: 3_000,
  postgresMillis: 120_000,
  killsMax: Number.POSITIVE_INFINITY,
  postgresCrashesMax: Number.POSITIVE_INFINITY,
  secondsMax: 7_200,
  modelFaultRate: 0.1,
};

export interface ChaosReport {
  seed: number;
  runs: number;
  kills: number;
  restarts: number;
  seconds: number;
  ends: Record<string, number>;
  /** What the sink did: commits, repeats that a key stopped, refusals; and replies that never arrived. */
  sink: Record<string, number>;
  questions: { done: number; absent: number };
  violations: string[];
}

const workers = 3;
const lookMillis = 500;
const sayMillis = 10_000;

/** Tools that honour keys fail in every way there is; the others only lose replies, which is what they cannot bear. */
const sinkTools: SinkOptions["tools"] = {
  charge: {
    honoursKeys: true,
    faults: [
      { fault: "drop", rate: 0.03 },
      { fault: "fail", rate: 0.02 },
      { fault: "refuse", rate: 0.02 },
    ],
  },
  book: { honoursKeys: false, faults: [{ fault: "drop", rate: 0.1 }] },
  mail: { honoursKeys: false, faults: [{ fault: "drop", rate: 0.1 }] },
};

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { runs, seed, modelFaultRate, say = () => undefined } = options;
  const plant = await startPlant({ workers, sinkTools, seed, modelFaultRate });
  const plan = planRuns(runs, seed);
  const robot = startRobot(plant, new Map(plan.map(({ threadId, name }) => [threadId, name])));
  const nemesis = startNemesis(plant, options);
  const began = performance.now();
  const secondsSince = (): number => (performance.now() - began) / 1_000;
  try {
    const late = await untilAllEnded({ ...options, say }, { plant, plan, nemesis, secondsSince });
    await nemesis.stop();
    const seconds = secondsSince();
    const log = await plant.sink.lines();
    const { violations, ends } =
      late === null ? await judge(plant.db, plan, log) : { violations: [late], ends: {} };
    const { kills, restarts } = nemesis;
    const counts = { seed, runs, kills, restarts, seconds: Math.round(seconds) };
    return { ...counts, ends, sink: countsOf(log), questions: robot.answered, violations };
  } finally {
    await nemesis.stop();
    await robot.stop();
    await plant.stop();
  }
}

interface Going {
  plant: Plant;
  plan: PlannedRun[];
  nemesis: Nemesis;
  secondsSince: () => number;
}

/** Null when all runs have ended; else what is still open. */
async function untilAllEnded(
  { secondsMax, say, signal }: ChaosOptions & { say: (line: string) => void },
  { plant, plan, nemesis, secondsSince }: Going,
): Promise<string | null> {
  let going = true;
  let created = false;
  const load = createRuns(plan, { api: plant.api.url, sink: plant.sink.url, open: () => going }).then(() => {
    created = true;
  });
  let failure: Error | undefined;
  load.catch((error: Error) => {
    failure = error;
  });
  let said = 0;
  try {
    while (secondsSince() < secondsMax && signal?.aborted !== true) {
      if (failure !== undefined) throw failure;
      const left = await openRuns(plant).catch(() => Number.NaN);
      if (created && left === 0) return null;
      if (secondsSince() - said > sayMillis / 1_000) {
        said = secondsSince();
        const accepted = plan.filter(({ runId }) => runId !== undefined).length;
        say(
          `${Math.round(said)} s: ${accepted} accepted, ${left} open, ${nemesis.kills} kills, ${nemesis.restarts} Postgres crashes`,
        );
      }
      await sleep(lookMillis);
    }
    return `I3: ${await openRuns(plant)} runs are open after ${Math.round(secondsSince())} s`;
  } finally {
    going = false;
    await load.catch(() => undefined);
  }
}

/** Runs that have not ended, and questions that nobody has answered yet. */
async function openRuns({ db }: Plant): Promise<number> {
  const { rows } = await db.query({
    text: `select (select count(*) from holdfast.runs where status in ('queued', 'blocked', 'running'))
                + (select count(*) from holdfast.escalations where status = 'open') as n`,
    values: [],
  });
  return Number(rows[0]?.n);
}

function countsOf(log: readonly EffectLine[]): Record<string, number> {
  const counts: Record<string, number> = { committed: 0, repeated: 0, refused: 0, "reply lost": 0 };
  for (const { what, fault } of log) {
    counts[what] = (counts[what] ?? 0) + 1;
    if (fault !== null && what !== "refused") counts["reply lost"] = (counts["reply lost"] ?? 0) + 1;
  }
  return counts;
}
