import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exhaust, summary } from "../exhaustive/lanes.ts";
import { scenes } from "../exhaustive/scene.ts";
import { openStage, type Stage } from "../exhaustive/stage.ts";
import { type Action, actions } from "../exhaustive/strike.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const chosen: Action[] = actions.filter((action) =>
  (process.env.ACTIONS ?? action).split(",").includes(action),
);
const blows = chosen.flatMap((action) => scenes.map((scene) => ({ action, graph: scene.name, scene })));
const notReachedShareMax = 0.1;

describe("at every boundary", () => {
  it.each(blows)("$action of $graph breaks no promise", async ({ scene, action }) => {
    const result = await exhaust(stage, scene, [action]);
    console.log(summary(`${action}, ${scene.name}`, result));
    expect(result.violations).toEqual([]);
    expect(result.notReached.length, result.notReached.join(" ")).toBeLessThanOrEqual(
      result.runs * notReachedShareMax,
    );
  });
});
