import { createHash } from "node:crypto";
import type { FencedSaver } from "../checkpoint/saver.ts";
import type { Database } from "../db/pool.ts";
import { escalationsOfThread } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { Fatal } from "../domain/errors.ts";
import { graphVersionMismatch } from "../domain/outcome.ts";
import type { Graph } from "./registry.ts";
import { allTasks, readParked } from "./view.ts";

interface Deps {
  db: Database;
  graph: Graph;
  /** Writes under this run's lease, without its events. */
  saver: FencedSaver;
}

/**
 * A parked thread meets a graph that is not the one it was parked by: the parked tasks must still be there, and
 * must still ask what was answered. LangGraph itself drops the answer, or hands it to another question, in silence.
 * Throws Fatal graph_version_mismatch.
 */
export async function meetChangedGraph({ db, graph, saver }: Deps, run: RunRow): Promise<void> {
  const own = Object.assign(Object.create(Object.getPrototypeOf(graph)), graph, {
    checkpointer: saver,
  }) as Graph;
  const { snapshot } = await readParked(own, saver, run.thread_id);
  if (snapshot.next.length === 0) throw mismatch("the node it waited in is gone");
  if (run.resume === null) return;
  const taskIds = new Set(allTasks(snapshot).map((task) => task.id));
  if (run.resume.some(({ taskId }) => !taskIds.has(taskId))) throw mismatch("the node that asked is gone");
  // The nodes run again up to their questions, as they do on every resume, but without the new answer.
  await own.invoke(null, { configurable: { thread_id: run.thread_id }, durability: "sync" });
  const { questions } = await readParked(own, saver, run.thread_id);
  const asked = await escalationsOfThread(db, { threadId: run.thread_id });
  for (const answered of asked.filter((row) => row.resume_run_id === run.run_id)) {
    const today = questions.find((q) => q.taskId === answered.task_id && q.ordinal === answered.ordinal);
    if (today === undefined || digestOf(today.payload) !== answered.payload_digest) {
      throw mismatch(`the question that was answered (${answered.escalation_id}) is not asked any more`);
    }
  }
}

const digestOf = (payload: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(payload ?? null))
    .digest("hex");

const mismatch = (why: string): Fatal =>
  new Fatal(`the graph has changed since this thread was parked: ${why}`, { code: graphVersionMismatch });
