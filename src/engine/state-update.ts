import type { RunnableConfig } from "@langchain/core/runnables";
import { Command } from "@langchain/langgraph";
import { FencedSaver } from "../checkpoint/saver.ts";
import { KnownParts } from "../checkpoint/thread-parts.ts";
import type { Database } from "../db/pool.ts";
import { insertThread, lockThread, openRuns } from "../db/queries/create.ts";
import * as escalations from "../db/queries/escalations.ts";
import type { ThreadRow } from "../db/queries/rows.ts";
import { settleThread } from "../db/queries/settle.ts";
import { getThread, takeEpoch } from "../db/queries/threads.ts";
import { one, type Queryable } from "../db/query.ts";
import { isDatabaseAway } from "../domain/classify.ts";
import { Conflict, InvalidInput, LeaseLost, NotFound } from "../domain/errors.ts";
import type { ThreadTtl } from "../domain/lifetimes.ts";
import type { RunCommand } from "../domain/run.ts";
import { commandOf } from "./input.ts";
import type { Graph, Registry } from "./registry.ts";
import { type At, type CheckpointName, configOf, factoryConfig, graphIdOf, nameOf } from "./state.ts";
import { sendValues } from "./thread-values.ts";
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

/** Updates that a graph's nodes would have made in one step. */
export interface Superstep {
  updates: { values?: unknown; command?: RunCommand | null | undefined; as_node: string }[];
}

export interface NewThread {
  threadId: string;
  tenant: string;
  metadata: Record<string, unknown>;
  ttl: ThreadTtl | null;
  /** The caller's own name for it. */
  key?: string | undefined;
  supersteps: readonly Superstep[];
}

/**
 * Writes a state as if a node had returned it, under the thread's lock and its next epoch.
 * Throws Conflict while a run of the thread is open, InvalidInput for an unknown node or values its channels refuse.
 */
export async function updateState({ db, registry }: Deps, update: StateUpdate): Promise<CheckpointName> {
  const { threadId, tenant, at } = update;
  const write = async ({ graph, saver }: Writing): Promise<RunnableConfig> => {
    await checkExists(saver, update);
    return graph.updateState(configOf(threadId, at), update.values as never, update.asNode ?? undefined);
  };
  return db.transaction((tx) =>
    writeState({ db, registry, tx }, { threadId, tenant, field: "values", write }),
  );
}

/**
 * A thread that has the states of these supersteps from its start; undefined, with nothing written, when one of its id
 * exists. Throws as `updateState` does, and makes no thread then.
 */
export async function createThread(
  { db, registry }: Deps,
  { supersteps, ...thread }: NewThread,
): Promise<ThreadRow | undefined> {
  if (supersteps.length === 0) return one(await insertThread(db, thread));
  const { threadId, tenant } = thread;
  const steps = supersteps.map(({ updates }) => ({ updates: updates.map(updateOf) }));
  const write = ({ graph }: Writing): Promise<RunnableConfig> =>
    graph.bulkUpdateState(configOf(threadId, {}), steps);
  return db.transaction(async (tx) => {
    if (one(await insertThread(tx, thread)) === undefined) return undefined;
    await writeState({ db, registry, tx }, { threadId, tenant, field: "supersteps", write });
    return one(await getThread(tx, { threadId, tenant }));
  });
}

const updateOf = ({ values, command, as_node }: Superstep["updates"][number]) => ({
  values: (command ? new Command(commandOf(command)) : (values ?? null)) as never,
  asNode: as_node,
});

interface Writing {
  graph: Graph;
  saver: FencedSaver;
}

interface Write {
  threadId: string;
  tenant: string;
  /** Of the request, for errors. */
  field: string;
  write: (writing: Writing) => Promise<RunnableConfig>;
}

async function writeState(
  { db, registry, tx }: Deps & { tx: Queryable },
  { threadId, tenant, field, write }: Write,
): Promise<CheckpointName> {
  const thread = one(await lockThread(tx, { threadId, tenant }));
  if (thread === undefined) throw new NotFound(`Thread with ID ${threadId} not found`);
  if ((await openRuns(tx, { threadId })).length > 0) throw new Conflict("Thread is busy");
  const graphId = graphIdOf(thread);
  if (graphId === null)
    throw new InvalidInput(`Thread with ID ${threadId} has no graph: run one on it first`);
  const epoch = one(await takeEpoch(tx, { threadId })) ?? thread.epoch;
  const parts = new KnownParts({ on: tx, threadId });
  const saver = new FencedSaver({
    db,
    on: tx,
    parts,
    holder: { kind: "thread", threadId, epoch },
    metadata: { graph_id: graphId },
  });
  const opened = await registry.open(graphId, factoryConfig(thread));
  const graph: Graph = Object.assign(opened, { checkpointer: saver });
  const written = await write({ graph, saver }).catch((error: unknown) => refusedBy(error, field));
  await showOnThread(tx, { graph, saver, parts, threadId, epoch, version: registry.version(graphId, graph) });
  return (
    nameOf(threadId, written) ?? {
      thread_id: threadId,
      checkpoint_id: null,
      checkpoint_ns: "",
      checkpoint_map: null,
    }
  );
}

/** LangGraph would start an empty state at a checkpoint that does not exist. */
async function checkExists(saver: FencedSaver, { threadId, at }: StateUpdate): Promise<void> {
  const { checkpoint_id: id } = at;
  if (id === undefined || id === null || (await saver.getTuple(configOf(threadId, at))) !== undefined) return;
  throw new InvalidInput(`checkpoint_id: the thread has no checkpoint ${id}`, { field: "checkpoint_id" });
}

function refusedBy(error: unknown, field: string): never {
  if (error instanceof LeaseLost || error instanceof InvalidInput || isDatabaseAway(error)) throw error;
  // Reducers and channels of the graph refused what the caller sent.
  throw new InvalidInput(`the state cannot be updated: ${(error as Error).message}`, { field, cause: error });
}

interface Written {
  graph: Graph;
  saver: FencedSaver;
  parts: KnownParts;
  threadId: string;
  epoch: number;
  version: string;
}

async function showOnThread(
  tx: Queryable,
  { graph, saver, parts, threadId, epoch, version }: Written,
): Promise<void> {
  const { view, questions } = await readParked(graph, saver, { threadId });
  const values = await sendValues(tx, { threadId, parts, view });
  await settleThread(tx, {
    threadId,
    epoch,
    values,
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
