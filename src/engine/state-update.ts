import type { RunnableConfig } from "@langchain/core/runnables";
import { FencedSaver } from "../checkpoint/saver.ts";
import type { Database } from "../db/pool.ts";
import { lockThread, openRuns } from "../db/queries/create.ts";
import * as escalations from "../db/queries/escalations.ts";
import { settleThread } from "../db/queries/settle.ts";
import { takeEpoch } from "../db/queries/threads.ts";
import { one, type Queryable } from "../db/query.ts";
import { isDatabaseAway } from "../domain/classify.ts";
import { Conflict, InvalidInput, LeaseLost, NotFound } from "../domain/errors.ts";
import type { Graph, Registry } from "./registry.ts";
import { type At, type CheckpointName, configOf, factoryConfig, graphIdOf, nameOf } from "./state.ts";
import { readParked } from "./view.ts";

interface Deps {
  db: Database;
  registry: Registry;
}

export interface StateUpdate {
  threadId: string;
  tenant: string;
  values: unknown;
  asNode: string | null;
  at: At;
}

/**
 * Writes a state as if a node had returned it, under the thread's lock and its next epoch.
 * Throws Conflict while a run of the thread is open, InvalidInput for an unknown node or values its channels refuse.
 */
export async function updateState({ db, registry }: Deps, update: StateUpdate): Promise<CheckpointName> {
  return db.transaction(async (tx) => {
    const { threadId, tenant } = update;
    const thread = one(await lockThread(tx, { threadId, tenant }));
    if (thread === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
    if ((await openRuns(tx, { threadId })).length > 0) throw new Conflict("Thread is busy");
    const graphId = graphIdOf(thread);
    if (graphId === null)
      throw new InvalidInput(`Thread with ID ${threadId} has no graph: run one on it first`);
    const epoch = one(await takeEpoch(tx, { threadId })) ?? thread.epoch;
    const saver = new FencedSaver({
      db,
      on: tx,
      holder: { kind: "thread", threadId, epoch },
      metadata: { graph_id: graphId },
    });
    const opened = await registry.open(graphId, factoryConfig(thread));
    const graph: Graph = Object.assign(opened, { checkpointer: saver });
    await checkExists(saver, update);
    const written = await applied(graph, update);
    await showOnThread(tx, { graph, saver, threadId, epoch, version: registry.version(graphId, graph) });
    return (
      nameOf(threadId, written) ?? {
        thread_id: threadId,
        checkpoint_id: null,
        checkpoint_ns: "",
        checkpoint_map: null,
      }
    );
  });
}

/** LangGraph would start an empty state at a checkpoint that does not exist. */
async function checkExists(saver: FencedSaver, { threadId, at }: StateUpdate): Promise<void> {
  const { checkpoint_id: id } = at;
  if (id === undefined || id === null || (await saver.getTuple(configOf(threadId, at))) !== undefined) return;
  throw new InvalidInput(`checkpoint_id: the thread has no checkpoint ${id}`, { field: "checkpoint_id" });
}

async function applied(graph: Graph, { threadId, values, asNode, at }: StateUpdate): Promise<RunnableConfig> {
  try {
    return await graph.updateState(configOf(threadId, at), values as never, asNode ?? undefined);
  } catch (error) {
    if (error instanceof LeaseLost || isDatabaseAway(error)) throw error;
    // Reducers and channels of the graph refused what the caller sent.
    throw new InvalidInput(`the state cannot be updated: ${(error as Error).message}`, {
      field: "values",
      cause: error,
    });
  }
}

interface Written {
  graph: Graph;
  saver: FencedSaver;
  threadId: string;
  epoch: number;
  version: string;
}

async function showOnThread(
  tx: Queryable,
  { graph, saver, threadId, epoch, version }: Written,
): Promise<void> {
  const { view, questions } = await readParked(graph, saver, threadId);
  await settleThread(tx, {
    threadId,
    epoch,
    values: JSON.stringify(view.values),
    interrupts: JSON.stringify(view.interrupts),
    error: null,
    graphVersion: view.parked ? version : null,
    status: view.parked ? "interrupted" : "idle",
  });
  const asked = await escalations.escalationsOfThread(tx, { threadId });
  const keep = asked.filter((row) =>
    questions.some((q) => q.taskId === row.task_id && q.ordinal === row.ordinal),
  );
  await escalations.supersedeEscalations(tx, { threadId, keep: keep.map((row) => row.escalation_id) });
}
