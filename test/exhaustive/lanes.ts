import type { Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";
import { type Action, recordBoundaries, strike } from "./strike.ts";

/** Victims at once: their start is what takes the time, and it fills a core each. */
const lanesMax = 3;

export interface Exhausted {
  points: number;
  runs: number;
  notReached: string[];
  violations: string[];
}

/** Strikes at every boundary of a scene with each action. BOUNDARIES, a pattern, picks some to look at one closely. */
export async function exhaust(
  stage: Stage,
  scene: Scene,
  chosen: readonly Action[],
  { lanes = lanesMax, only = process.env.BOUNDARIES ?? "" }: { lanes?: number; only?: string } = {},
): Promise<Exhausted> {
  const boundaries = (await recordBoundaries(stage, scene)).filter((name) => new RegExp(only).test(name));
  const blows = chosen.flatMap((action) => boundaries.map((boundary) => ({ boundary, action })));
  const result: Exhausted = { points: boundaries.length, runs: 0, notReached: [], violations: [] };
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let blow = blows[next++]; blow !== undefined; blow = blows[next++]) {
      const { reached, violations } = await strike(stage, scene, blow);
      result.runs += 1;
      if (!reached) result.notReached.push(`${blow.boundary} ${blow.action}`);
      for (const violation of violations) console.log(violation);
      result.violations.push(...violations);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return result;
}

export const summary = (name: string, { points, runs, notReached, violations }: Exhausted): string =>
  `${name}: ${points} points, ${runs} runs, ${notReached.length} not reached, ${violations.length} violations`;
