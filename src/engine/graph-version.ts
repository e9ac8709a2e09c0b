import { createHash } from "node:crypto";
import type { RunnableConfig } from "@langchain/core/runnables";
import { type FencedSaver, StepRefused } from "../checkpoint/saver.ts";
import type { Database } from "../db/pool.ts";
import { escalationsOfThread } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { causeChain } from "../domain/classify.ts";
import { Fatal } from "../domain/errors.ts";
import { graphVersionMismatch } from "../domain/outcome.ts";
import type { Graph } from "./registry.ts";
import { allTasks, readParked } from "./view.ts";

interface Deps {
  db: Database;
  graph: Graph;
  /** Writes under this run's lease, without its events, and commits no step. */
  saver: FencedSaver;
  /** What the nodes get on a real invocation. */
  config: RunnableConfig;
}

/**
 * A parked thread meets a graph that is not the one it was parked by: the parked tasks must still be there, and
 * must still ask what was answered. LangGraph itself drops the answer, or hands it to another question, in silence.
 * Throws Fatal graph_version_mismatch.
 */
export async function meetChangedGraph({ db, graph, saver, config }: Deps, run: RunRow): Promise<void> {
  const own = Object.assign(Object.create(Object.getPrototypeOf(graph)), graph, {
    checkpointer: saver,
  }) as Graph;
  const { snapshot } = await readParked(own, saver, { threadId: run.thread_id });
  if (snapshot.next.length === 0) throw mismatch("the node it waited in is gone");
  if (run.resume === null) return;
  const taskIds = new Set(allTasks(snapshot).map((task) => task.id));
  if (run.resume.some(({ taskId }) => !taskIds.has(taskId))) throw mismatch("the node that asked is gone");
  await askAgain(own, config);
  const { questions } = await readParked(own, saver, { threadId: run.thread_id });
  const asked = await escalationsOfThread(db, { threadId: run.thread_id });
  for (const answered of asked.filter((row) => row.resume_run_id === run.run_id)) {
    const today = questions.find((q) => q.taskId === answered.task_id && q.ordinal === answered.ordinal);
    if (today === undefined || digestOf(today.payload) !== answered.payload_digest) {
      throw mismatch(`the question that was answered (${answered.escalation_id}) is not asked any more`);
    }
  }
}

/** The nodes run again up to their questions, as they do on every resume, but without the new answer. */
async function askAgain(graph: Graph, config: RunnableConfig): Promise<void> {
  try {
    await graph.invoke(null, { ...config, durability: "sync" });
  } catch (error) {
    if (causeChain(error).some((link) => link instanceof StepRefused))
      throw mismatch("it asks nothing any more");
    throw error;
  }
}

/**
 * A run in the middle of its steps meets another version of its graph, after a crash or a deploy: what was due next
 * must still be there. LangGraph itself would drop it and call the run a success.
 */
export async function goOnWithChangedGraph(
  { graph, saver, version }: { graph: Graph; saver: FencedSaver; version: string },
  run: RunRow,
): Promise<void> {
  const latest = await saver.getTuple({ configurable: { thread_id: run.thread_id, checkpoint_ns: "" } });
  const { run_id: owner, graph_version: before } = (latest?.metadata ?? {}) as {
    run_id?: string;
    graph_version?: string;
  };
  if (latest === undefined || owner !== run.run_id || before === undefined || before === version) return;
  const values = latest.checkpoint.channel_values;
  const sends = (values.__pregel_tasks ?? []) as { node?: string }[];
  const due = [
    ...Object.keys(values).flatMap((channel) =>
      channel.startsWith(branch) ? [channel.slice(branch.length)] : [],
    ),
    ...(Array.isArray(sends) ? sends.map(({ node }) => String(node)) : []),
  ];
  const gone = due.find((node) => !Object.hasOwn(graph.nodes, node));
  if (gone !== undefined) throw mismatch(`node ${gone}, which was due, is gone`);
}

/** LangGraph's channel of an edge: set while its node is due. */
const branch = "branch:to:";

const digestOf = (payload: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(payload ?? null))
    .digest("hex");

const mismatch = (why: string): Fatal =>
  new Fatal(`the graph has changed since this thread's last step: ${why}`, { code: graphVersionMismatch });
