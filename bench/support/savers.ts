import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import { GroupCommit } from "../../src/checkpoint/group-commit.ts";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import type { Database } from "../../src/db/pool.ts";
import { newId } from "../../src/domain/ids.ts";

/** Gives each thread a saver of its own, as the attempt of a claimed run has it. */
export function fencedSavers(db: Database): (threadId: string) => Promise<BaseCheckpointSaver> {
  const group = new GroupCommit(db);
  return async (threadId) => {
    const runId = await claimed(db, threadId);
    return new FencedSaver({
      db,
      group,
      holder: { kind: "run", runId, threadId, epoch: 1 },
    });
  };
}

/** A thread and a running run, as a worker would hold them. */
async function claimed(db: Database, threadId: string): Promise<string> {
  const runId = newId();
  await db.query({
    text: `with t as (insert into holdfast.threads (thread_id, status) values ($1, 'busy') returning thread_id)
      insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, status, multitask_strategy, available_at, kwargs, epoch, lease_until)
      select $2, thread_id, $2, 'bench', 'running', 'enqueue', now(), '{}', 1, now() + interval '1 hour' from t`,
    values: [threadId, runId],
  });
  return runId;
}
