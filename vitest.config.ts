import { defineConfig } from "vitest/config";

const shared = {
  resolve: { conditions: ["holdfast-source"] },
  ssr: { resolve: { conditions: ["holdfast-source"] } },
};

/** Each of these keeps every core busy by itself. */
const alone = ["exhaustive", "kill-at-every-boundary", "soak"].map((name) => `test/crash/${name}.test.ts`);

export default defineConfig({
  ...shared,
  test: {
    globalSetup: ["test/support/global-setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
    projects: [
      {
        ...shared,
        test: {
          name: "unit",
          // Pure functions: what one file loads the next may use.
          isolate: false,
          include: ["test/{domain,validators,models,nodes,unit}/**/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      {
        ...shared,
        test: {
          name: "db",
          include: [
            "test/{db,queue,checkpoint,engine,worker,webhooks,http,effects,graphs,facts}/**/*.test.ts",
          ],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...shared,
        test: {
          name: "process",
          include: ["test/{process,conformance}/**/*.test.ts"],
          testTimeout: 900_000,
          hookTimeout: 120_000,
        },
      },
      {
        ...shared,
        test: {
          name: "crash",
          include: ["test/crash/**/*.test.ts"],
          exclude: alone,
          testTimeout: 900_000,
          hookTimeout: 120_000,
        },
      },
      {
        ...shared,
        test: {
          name: "soak",
          include: alone,
          testTimeout: 900_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        ...shared,
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          testTimeout: 400_000,
          hookTimeout: 120_000,
        },
      },
      {
        ...shared,
        // Not part of `npm test`: every action at every boundary takes the better part of an hour.
        test: {
          name: "faults",
          include: ["test/faults/**/*.test.ts"],
          testTimeout: 3_600_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
