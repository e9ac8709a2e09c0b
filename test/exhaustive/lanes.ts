import type { Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";
import { type Action, recordBoundaries, strike } from "./strike.ts";

/** Victims at once: their start is what takes the time, and it fills a core each. */
const lanesMax = 3;

export interface Reach {
  /** After so long no more are taken, */
  secondsMax?: number;
  /** but so many always are, on the slowest of machines. */
  runsMin?: number;
}

/** Takes one after the other, a few at a time, until none is left or it has reached far enough. Gives how many were taken. */
export async function inLanes<T>(
  items: readonly T[],
  take: (item: T) => Promise<void>,
  { secondsMax = Number.POSITIVE_INFINITY, runsMin = 0 }: Reach = {},
): Promise<number> {
  const deadline = performance.now() + secondsMax * 1_000;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && (next < runsMin || performance.now() < deadline)) {
      const item = items[next] as T;
      next += 1;
      await take(item);
    }
  };
  await Promise.all(Array.from({ length: lanesMax }, lane));
  return next;
}

export interface Exhausted {
  points: number;
  runs: number;
  /** Boundaries that the time did not reach to. */
  left: number;
  notReached: string[];
  violations: string[];
}

/** Which come first when not all can be taken: spread over the whole play. */
const strides = 3;
const spread = <T>(items: readonly T[]): T[] =>
  Array.from({ length: strides }, (_, first) => items.filter((__, n) => n % strides === first)).flat();

/** Strikes at every boundary of a scene with each action. BOUNDARIES, a pattern, picks some to look at one closely. */
export async function exhaust(
  stage: Stage,
  scene: Scene,
  chosen: readonly Action[],
  { only = process.env.BOUNDARIES ?? "", ...reach }: Reach & { only?: string } = {},
): Promise<Exhausted> {
  const boundaries = (await recordBoundaries(stage, scene)).filter((name) => new RegExp(only).test(name));
  const blows = chosen.flatMap((action) => spread(boundaries).map((boundary) => ({ boundary, action })));
  const notReached: string[] = [];
  const found: string[] = [];
  const runs = await inLanes(
    blows,
    async (blow) => {
      const { reached, violations } = await strike(stage, scene, blow);
      if (!reached) notReached.push(`${blow.boundary} ${blow.action}`);
      for (const violation of violations) console.log(violation);
      found.push(...violations);
    },
    reach,
  );
  return { points: boundaries.length, runs, left: blows.length - runs, notReached, violations: found };
}

export const summary = (name: string, { points, runs, left, notReached, violations }: Exhausted): string =>
  `${name}: ${points} points, ${runs} runs, ${left} left out, ${notReached.length} not reached, ${violations.length} violations`;
