import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Scene, scenes } from "../exhaustive/scene.ts";
import { openStage, type Program, type Stage } from "../exhaustive/stage.ts";
import { type Action, strike } from "../exhaustive/strike.ts";
import { deafToHeartbeats, type Mutation, mutantOf, unfencedCheckpoints } from "../support/mutant.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const sceneOf = (graph: string): Scene => scenes.find(({ name }) => name === graph) as Scene;

interface Tooth {
  protection: string;
  mutations: Mutation[];
  /** Other protections that would hide it, taken out in both programs. */
  hiding?: Mutation[];
  scene?: string;
  action: Action;
  boundaries: string[];
  /** By how much the struck process is ahead of the one that finishes. */
  skewMinutes?: number;
}

const unfencedEffects: Mutation[] = [
  {
    file: "src/db/queries/effects.js",
    from: /const lease = `[^`]*`/,
    to: "const lease = `select $1::uuid as run_id, $3::bigint as epoch, $2::uuid as thread_id`",
  },
  {
    file: "src/db/queries/effects.js",
    from: /and e\.epoch <= lease\.epoch\s+and \(\(e\.dispatches = \$5 and [\s\S]*?lease\.epoch\)\)/,
    to: "and $6::text[] is not null",
  },
];

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
  {
    protection: "the fence of checkpoints",
    mutations: [unfencedCheckpoints],
    hiding: [deafToHeartbeats],
    action: "SIGSTOP",
    boundaries: ["checkpoint.before_commit#2", "checkpoint.before_commit#3"],
  },
  {
    protection: "the fence of effects",
    mutations: unfencedEffects,
    hiding: [deafToHeartbeats],
    scene: "agentTools",
    action: "SIGSTOP",
    boundaries: ["effect.prepared#4", "effect.prepared#3", "effect.prepared#2"],
  },
];

const skewed = (minutes: number): Record<string, string> => ({
  SKEW_MINUTES: String(minutes),
  NODE_OPTIONS: `--import=${path.resolve(import.meta.dirname, "../support/skewed-clock.mjs")}`,
});

/** Strikes at one boundary after the other until a promise is broken; what was broken. */
async function bitten(
  { action, boundaries, skewMinutes, scene }: Tooth,
  program: Program,
): Promise<string[]> {
  const environment = skewMinutes === undefined ? {} : skewed(skewMinutes);
  for (const boundary of boundaries) {
    const victim = { ...program, environment };
    const { reached, violations } = await strike(stage, sceneOf(scene ?? "approvals"), {
      boundary,
      action,
      victim,
      // A mutant that is stopped past its lease meets the program as it is.
      ...(action === "SIGSTOP" ? {} : { heir: program }),
    });
    if (!reached) console.log(`${boundary} was not reached`);
    if (violations.length > 0) return violations;
  }
  return [];
}

async function bittenWithout(tooth: Tooth, mutations: Mutation[]): Promise<string[]> {
  if (mutations.length === 0) return bitten(tooth, {});
  const mutant = await mutantOf(mutations);
  try {
    return await bitten(tooth, { dist: mutant.dist });
  } finally {
    await mutant.remove();
  }
}

describe.each(teeth)("with $protection", (tooth) => {
  const { protection, mutations, hiding = [] } = tooth;

  it("in the program no promise is broken", async () => {
    expect(await bittenWithout(tooth, hiding)).toEqual([]);
  });

  it("out of the program, and nothing else changed, these checks go red", async () => {
    const violations = await bittenWithout(tooth, [...hiding, ...mutations]);
    console.log(`without ${protection}: ${violations.slice(0, 3).join("\n")}`);
    expect(violations).not.toEqual([]);
  });
});
