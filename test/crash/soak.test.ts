import { describe, expect, it } from "vitest";
import { chaosDefaults, runChaos } from "../chaos/chaos.ts";

const options = {
  ...chaosDefaults,
  killMillis: 1_500,
  killsMax: 50,
  postgresMillis: 15_000,
  postgresCrashesMax: 5,
  secondsMax: 800,
};

describe(`${options.runs} runs under kill -9 of three workers and of Postgres`, () => {
  it("are all kept, end once, and do what they do to the world once, by the world's own log", async () => {
    const { violations, ...report } = await runChaos(options);
    console.log(`chaos ${JSON.stringify(report)}`);
    expect(violations).toEqual([]);
    expect(report.kills).toBeGreaterThan(8);
    expect(report.restarts).toBeGreaterThan(0);
  });
});
