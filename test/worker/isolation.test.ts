import { afterEach, beforeEach, expect, it } from "vitest";
import { Isolation } from "../../src/worker/isolation.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { countingStatements } from "../support/statements.ts";

let runtime: TestRuntime;
beforeEach(async () => {
  runtime = await startRuntime();
});
afterEach(() => runtime.close());

it("suspects are looked for now and then, not at each news of the queue", async () => {
  const { counts, stop } = countingStatements(runtime.db);
  const startChild = () => Promise.reject(new Error("nobody is suspect"));
  const isolation = new Isolation(
    { ...runtime, startChild },
    { workerId: "w", graphIds: ["steps"], leaseSeconds: 30, pollMillis: 60_000 },
  );
  isolation.start();
  const looks = () => counts.get("claim.suspect_due") ?? 0;
  await expect.poll(looks, { interval: 10 }).toBeGreaterThan(0);
  const since = performance.now();
  const seen = looks();
  while (looks() < seen + 3) {
    runtime.bus.publish("queue", "*");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  // Three pauses of 250 ms, the first of which may be over in part.
  expect(performance.now() - since).toBeGreaterThan(450);
  await isolation.stop(0);
  stop();
});
