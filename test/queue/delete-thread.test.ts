import { beforeEach, expect, it, vi } from "vitest";
import { dispatchEffect, prepareEffect } from "../../src/db/queries/effects.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { newId } from "../../src/domain/ids.ts";
import { deleteThread } from "../../src/queue/cancel.ts";
import { makeRun } from "../support/factory.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { rowsOf, runtimeWith } from "../support/scenario.ts";

let runtime: TestRuntime;
let run: RunRow;
beforeEach(async () => {
  runtime = await runtimeWith();
  run = await makeRun(runtime.db, "running");
  await runtime.db.query({
    text: `insert into public.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
           values ($1, '', 'c', '{}', '{}')`,
    values: [run.thread_id],
  });
});

async function untilWaiting(...statements: string[]): Promise<void> {
  const look = async (): Promise<void> => {
    const waiting = await rowsOf(
      runtime,
      `select query from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
    for (const name of statements)
      expect(waiting).toContainEqual({ query: expect.stringContaining(`/* ${name} */`) });
    expect(waiting).toHaveLength(statements.length);
  };
  await vi.waitFor(look, { timeout: 10_000 });
}

const lease = () => ({ runId: run.run_id, threadId: run.thread_id, epoch: run.epoch });
const intent = {
  tenant: "default",
  taskId: "task",
  ordinal: 0,
  tool: "pay",
  toolVersion: null,
  toolCallId: null,
  class: "idempotent" as const,
  key: "key",
  businessKey: null,
  argsDigest: "digest",
  args: "{}",
  checkpoint: { ns: "", id: "c" },
  attempt: 1,
};
const prepare = () => prepareEffect(runtime.db, { ...lease(), ...intent, effectId: newId() });
const remove = () => deleteThread(runtime, { tenant: "default", threadId: run.thread_id });

it("a thread is deleted after a statement of its holder that refers to it", async () => {
  const { thread_id: other } = await makeRun(runtime.db, "queued");
  let prepared: ReturnType<typeof prepare> | undefined;
  let removed: ReturnType<typeof remove> | undefined;
  await runtime.db.transaction(async (tx) => {
    await tx.query({
      text: `insert into holdfast.effects (effect_id, thread_id, task_id, ordinal, tool, key, args_digest, args, state, epoch)
             values (gen_random_uuid(), $1, 't', 0, 'pay', 'key', 'd', '{}', 'prepared', 1)`,
      values: [other],
    });
    prepared = prepare();
    await untilWaiting("effect.prepare");
    removed = remove();
    await untilWaiting("effect.prepare", "thread.lock_runs");
    // Gives the key free again, and with it the holder's statement.
    await tx.query({ text: "delete from holdfast.effects where thread_id = $1", values: [other] });
  });
  expect(await prepared).toMatchObject([{ row: { key: "key" } }]);
  await removed;
  expect(await rowsOf(runtime, "select 1 from holdfast.effects")).toEqual([]);
});

it("a statement of its holder that comes while a thread is being deleted finds no lease", async () => {
  await prepare();
  let dispatched: ReturnType<typeof dispatchEffect> | undefined;
  let removed: ReturnType<typeof remove> | undefined;
  await runtime.db.transaction(async (tx) => {
    await tx.query({ text: "select from holdfast.effects for update", values: [] });
    removed = remove();
    await untilWaiting("thread.delete");
    dispatched = dispatchEffect(runtime.db, { ...lease(), ...intent, dispatches: 0 });
    await untilWaiting("thread.delete", "effect.dispatch");
  });
  expect(await dispatched).toEqual([]);
  await removed;
});
