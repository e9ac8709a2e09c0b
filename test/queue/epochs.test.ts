import { describe, expect, it } from "vitest";
import { effect } from "../../src/effects/effect.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { graphOf } from "../support/effects.ts";
import { expireLeases } from "../support/factory.ts";
import { accepted, logOf, runtimeWith, signal, untilRow } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

describe("a run that takes the place of one that crashed again and again", () => {
  it.each(["interrupt", "rollback"] as const)(
    "under the strategy %s goes on with its effects",
    async (strategy) => {
      const calls: string[] = [];
      const begun = [signal(), signal(), signal()];
      const never = signal();
      let stuck = true;
      const runtime = await runtimeWith(
        graphOf(() =>
          effect({ name: "pay", class: "idempotent", args: {} }, async (key) => {
            calls.push(key);
            begun[calls.length - 1]?.give();
            if (stuck) await never.given;
            return "paid";
          }),
        ),
      );
      let worker = runtime.work({ pollMillis: 20 });
      const first = await accepted(runtime);
      for (const n of [0, 1]) {
        await begun[n]?.given;
        await expireLeases(runtime.db);
        void worker.stop(0);
        await reapOnce(runtime, { graceSeconds: 0, ignoreRestart: true });
        if (n === 0) worker = runtime.work({ pollMillis: 20 });
      }
      await untilRow(runtime, first.run_id, ({ status }) => status === "queued");
      const { thread_id: threadId } = first;
      stuck = false;
      const next = await accepted(runtime, {
        threadId,
        multitaskStrategy: strategy,
        kwargs: strategy === "interrupt" ? { input: null, stream_mode: ["values"] } : first.kwargs,
      });
      expect(next.epoch).toBe(2);
      runtime.work({ pollMillis: 20 });
      expect(logOf(await untilEnded(runtime, next.run_id))).toEqual(['"paid"']);
      never.give();
    },
  );
});
