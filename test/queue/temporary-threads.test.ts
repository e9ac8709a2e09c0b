import { expect, it, vi } from "vitest";
import { createInTransaction } from "../../src/queue/create.ts";
import { pruneOnce, temporarySecondsMax } from "../../src/queue/scheduler.ts";
import { runRequest } from "../support/factory.ts";
import { rowsOf, runtimeWith, workedThread } from "../support/scenario.ts";

it("a stateless thread that got a run while the sweep waited for its lock is left alone", async () => {
  const runtime = await runtimeWith();
  const threadId = await workedThread(runtime, { graphId: "steps", temporary: true });
  runtime.clock.advance((temporarySecondsMax + 60) * 1_000);
  let sweep: ReturnType<typeof pruneOnce> | undefined;
  await runtime.db.transaction(async (tx) => {
    await createInTransaction(tx, runRequest({ threadId, graphId: "nobody", afterSeconds: 60 }));
    sweep = pruneOnce(runtime);
    const look = async (): Promise<void> => {
      const waiting = await rowsOf(
        runtime,
        "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%thread.lock%' and datname = current_database()",
      );
      expect(waiting).toHaveLength(1);
    };
    await vi.waitFor(look, { timeout: 10_000 });
  });
  expect(await sweep).toMatchObject({ threads: 0 });
  expect(await rowsOf(runtime, "select status from holdfast.runs where graph_id = 'nobody'")).toHaveLength(1);
});
