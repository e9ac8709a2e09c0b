import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Scene, scenes } from "../exhaustive/scene.ts";
import { openStage, type Program, type Stage } from "../exhaustive/stage.ts";
import { type Action, strike } from "../exhaustive/strike.ts";
import { type Mutation, mutantOf } from "../support/mutant.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const approvals = scenes.find(({ name }) => name === "approvals") as Scene;

interface Tooth {
  protection: string;
  mutations: Mutation[];
  action: Action;
  boundaries: string[];
  /** By how much the struck process is ahead of the one that finishes. */
  skewMinutes?: number;
}

/** The fence is taken out in zombie.test.ts. */
const teeth: Tooth[] = [
  {
    protection: "sync durability",
    mutations: [{ file: "src/engine/attempt.js", from: /durability: "sync"/, to: 'durability: "exit"' }],
    action: "SIGKILL",
    boundaries: ["effect.performed#1", "effect.succeeded#1", "settle.before#1"],
  },
  {
    protection: "the ledger",
    mutations: [
      {
        // Not effect.js: graphs import that from the package, which is not the copy.
        file: "src/effects/ledger.js",
        from: /perform\(call, dispatch\) \{\s+const performed/,
        to: "perform(call, dispatch) { return dispatch(String(Math.random())); const performed",
      },
    ],
    action: "SIGKILL",
    boundaries: [
      "write.before_commit#2",
      "write.before_commit#3",
      "write.before_commit#4",
      "write.before_commit#1",
    ],
  },
  {
    protection: "the order by seq",
    mutations: [
      {
        file: "src/db/queries/checkpoint-reads.js",
        from: /order by cp\.seq desc limit 1/,
        to: "order by cp.checkpoint_id desc limit 1",
      },
    ],
    action: "SIGKILL",
    boundaries: ["settle.after#1", "decision.taken#1", "resume.begun#1"],
    skewMinutes: 10,
  },
];

const skewed = (minutes: number): Record<string, string> => ({
  SKEW_MINUTES: String(minutes),
  NODE_OPTIONS: `--import=${path.resolve(import.meta.dirname, "../support/skewed-clock.mjs")}`,
});

/** Strikes at one boundary after the other until a promise is broken; what was broken. */
async function bitten({ action, boundaries, skewMinutes }: Tooth, program: Program): Promise<string[]> {
  const environment = skewMinutes === undefined ? {} : skewed(skewMinutes);
  for (const boundary of boundaries) {
    const victim = { ...program, environment };
    const { reached, violations } = await strike(stage, approvals, {
      boundary,
      action,
      victim,
      heir: program,
    });
    if (!reached) console.log(`${boundary} was not reached`);
    if (violations.length > 0) return violations;
  }
  return [];
}

describe.each(teeth)("with $protection", (tooth) => {
  it("in the program no promise is broken", async () => {
    expect(await bitten(tooth, {})).toEqual([]);
  });

  it("out of the program, and nothing else changed, these checks go red", async () => {
    const mutant = await mutantOf(tooth.mutations);
    try {
      const violations = await bitten(tooth, { dist: mutant.dist });
      console.log(`without ${tooth.protection}: ${violations.slice(0, 3).join("\n")}`);
      expect(violations).not.toEqual([]);
    } finally {
      await mutant.remove();
    }
  });
});
