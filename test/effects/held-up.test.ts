import { expect, it, onTestFinished, vi } from "vitest";
import { effect } from "../../src/effects/effect.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { type Bench, benchWith, graphOf, openQuestions, statesOf } from "../support/effects.ts";
import { expireLeases } from "../support/factory.ts";

const stoppedMillis = 60_000;

/** The process stops right behind the last fence, and wakes up when another holder has the run. */
function stopOnceDispatched(bench: () => Bench | undefined): void {
  const now = performance.now.bind(performance);
  let sleptMillis = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + sleptMillis);
  onTestFinished(() => clock.mockRestore());
  setFailpoints(async (name) => {
    const runtime = bench()?.runtime;
    if (name !== "effect.dispatched" || sleptMillis > 0 || runtime === undefined) return;
    sleptMillis = stoppedMillis;
    await expireLeases(runtime.db);
    await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
  });
}

it("a call that was held up between the last fence and the world is not sent once the lease is gone", async () => {
  let bench: Bench | undefined;
  let sent = 0;
  const charge = (): Promise<number> =>
    effect({ name: "charge", class: "at_most_once", args: 1 }, async () => {
      sent += 1;
      return sent;
    });
  bench = await benchWith(graphOf(charge));
  stopOnceDispatched(() => bench);
  const { thread_id: threadId } = await bench.run();
  expect(await openQuestions(bench.runtime, threadId)).toHaveLength(1);
  expect(sent, "sent while somebody is asked whether it was").toBe(0);
  await bench.answer(threadId, { type: "ignore", args: null });
  expect(sent).toBe(1);
  expect(await statesOf(bench.runtime)).toEqual(["charge succeeded"]);
});
