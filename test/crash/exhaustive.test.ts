import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exhaust, summary } from "../exhaustive/lanes.ts";
import { scenes } from "../exhaustive/scene.ts";
import { openStage, type Stage } from "../exhaustive/stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

/** As far as this reaches for each: `npm run test:faults` takes the rest. */
const reach = { secondsMax: 40, runsMin: 10 };

/** Calls of one step may share a write or not, so that a few boundaries come and go. */
const notReachedShareMax = 0.1;

describe("kill -9 at every boundary", () => {
  it.each(scenes)("of $name leaves a second worker to finish it, judged by the sink's log", async (scene) => {
    const result = await exhaust(stage, scene, ["SIGKILL"], reach);
    console.log(summary(`SIGKILL, ${scene.name}`, result));
    expect(result.violations).toEqual([]);
    expect(result.runs).toBeGreaterThanOrEqual(reach.runsMin);
    expect(result.notReached.length, result.notReached.join(" ")).toBeLessThanOrEqual(
      result.runs * notReachedShareMax,
    );
  });
});
