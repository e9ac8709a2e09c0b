import { expect, it, vi } from "vitest";
import { createInTransaction } from "../../src/queue/create.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import { asItStands } from "../../src/queue/redrive-plan.ts";
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

it("a stateless thread stays for its dead letter until that was redriven, and for one whose redrive was cancelled", async () => {
  const runtime = await runtimeWith();
  const failing = { input: { fail: "boom" }, stream_mode: ["values" as const] };
  const threadId = await workedThread(runtime, { graphId: "failing", temporary: true, kwargs: failing });
  const later = (): void => runtime.clock.advance((temporarySecondsMax + 60) * 1_000);
  const [dead] = await rowsOf(runtime, "select run_id from holdfast.runs");
  later();
  expect(await pruneOnce(runtime)).toMatchObject({ threads: 0 });
  const choice = { ...asItStands, tenant: "default", principal: "tester", afterSeconds: 0, dryRun: false };
  const { run } = await redriveRun(runtime, { ...choice, runId: String(dead?.run_id) });
  for (const [status, threads] of [
    ["interrupted", 0],
    ["success", 1],
  ] as const) {
    await runtime.db.query({
      text: "update holdfast.runs set status = $2, finished_at = holdfast.now() where run_id = $1",
      values: [run?.run_id, status],
    });
    later();
    expect(await pruneOnce(runtime)).toMatchObject({ threads });
  }
  expect(await rowsOf(runtime, "select 1 from holdfast.threads where thread_id = $1", threadId)).toEqual([]);
});
