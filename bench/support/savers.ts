import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import { GroupCommit } from "../../src/checkpoint/group-commit.ts";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import type { Database } from "../../src/db/pool.ts";
import { newId } from "../../src/domain/ids.ts";

const preparedTotal = 5_000;

interface Prepared {
  threadId: string;
  saver: BaseCheckpointSaver;
}

/** Savers of new threads, each as an attempt at a run's first claim has it. To claim is the queue's work: it is done before. */
export class FencedSavers {
  readonly #db: Database;
  readonly #group: GroupCommit;
  readonly #ready: Prepared[] = [];

  constructor(db: Database) {
    this.#db = db;
    this.#group = new GroupCommit(db, { runsMax: 64 });
  }

  /** Before a turn is measured; a turn takes fewer than that. */
  async prepare(): Promise<void> {
    const ids = Array.from({ length: preparedTotal - this.#ready.length }, () => [newId(), newId()] as const);
    await claim(this.#db, ids);
    for (const [threadId, runId] of ids) {
      const holder = { kind: "run", runId, threadId, epoch: 1 } as const;
      const saver = new FencedSaver({
        db: this.#db,
        group: this.#group,
        holder,
        newThread: true,
        inputWaits: true,
      });
      this.#ready.push({ threadId, saver });
    }
  }

  take(): Prepared {
    const prepared = this.#ready.pop();
    if (prepared === undefined) throw new Error(`a turn took more than ${preparedTotal} savers`);
    return prepared;
  }
}

/** Threads and running runs, as a worker would hold them. */
async function claim(db: Database, ids: (readonly [string, string])[]): Promise<void> {
  await db.query({
    text: `with k as (select * from unnest($1::uuid[], $2::uuid[]) as k (thread_id, run_id)),
                t as (insert into holdfast.threads (thread_id, status) select thread_id, 'busy' from k)
      insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, status, multitask_strategy, available_at, kwargs, epoch, lease_until)
      select run_id, thread_id, run_id, 'bench', 'running', 'enqueue', now(), '{}', 1, now() + interval '1 hour' from k`,
    values: [ids.map(([threadId]) => threadId), ids.map(([, runId]) => runId)],
  });
}
