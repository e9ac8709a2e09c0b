import type { RunnableConfig } from "@langchain/core/runnables";
import type { StateSnapshot } from "@langchain/langgraph";
import { RESUME } from "@langchain/langgraph-checkpoint";
import { FencedSaver } from "../checkpoint/saver.ts";
import type { Database } from "../db/pool.ts";
import { escalationsOfThread } from "../db/queries/escalations.ts";
import type { EscalationRow, ThreadHead } from "../db/queries/rows.ts";
import { NotFound } from "../domain/errors.ts";
import { questionId } from "../queue/question.ts";
import type { Graph, Registry } from "./registry.ts";
import { isDone } from "./view.ts";
import { toPlain } from "./wire.ts";

type Task = StateSnapshot["tasks"][number];
const nestingMax = 32;

/** Which checkpoint of a thread; the latest of the root without an id. */
export interface At {
  checkpoint_id?: string | null | undefined;
  checkpoint_ns?: string | null | undefined;
  checkpoint_map?: Record<string, string> | null | undefined;
}

interface Interrupt {
  id?: string;
  value: unknown;
}

export interface CheckpointName {
  thread_id: string;
  checkpoint_id: string | null;
  checkpoint_ns: string;
  checkpoint_map: Record<string, string> | null;
}

/** A snapshot as the Agent Server shows it. */
export interface ThreadState {
  values: unknown;
  next: readonly string[];
  tasks: unknown[];
  metadata: unknown;
  created_at: string | null;
  checkpoint: CheckpointName | null;
  parent_checkpoint: CheckpointName | null;
  interrupts: Interrupt[];
}

interface Deps {
  db: Database;
  registry: Registry;
}

interface Reading {
  threadId: string;
  asked: EscalationRow[];
  /** The thread as it stands now: what has been answered there is no question any more. */
  latest: boolean;
  saver: FencedSaver;
  graph: Graph;
}

/** The graph a thread belongs to: of its last run, or as its metadata says; null when it never had one. */
export function graphIdOf(thread: ThreadHead): string | null {
  const named = thread.metadata.graph_id;
  return thread.graph_id ?? (typeof named === "string" ? named : null);
}

/** State of a thread at a checkpoint. Throws NotFound when the graph, or a checkpoint asked for by id, is unknown. */
export async function readState(
  deps: Deps,
  thread: ThreadHead,
  { at, subgraphs }: { at: At; subgraphs: boolean },
): Promise<ThreadState> {
  const graphId = graphIdOf(thread);
  if (graphId === null) return emptyState;
  const latest = at.checkpoint_id === undefined || at.checkpoint_id === null;
  const reading = { ...(await openReading(deps, thread, graphId)), latest };
  const snapshot = await reading.graph.getState(configOf(thread.thread_id, at), { subgraphs: true });
  if (typeof at.checkpoint_id === "string" && snapshot.createdAt === undefined) {
    throw new NotFound(`Checkpoint ${at.checkpoint_id} not found`);
  }
  return present(reading, snapshot, { subgraphs });
}

const emptyState: ThreadState = {
  values: {},
  next: [],
  tasks: [],
  metadata: {},
  created_at: null,
  checkpoint: null,
  parent_checkpoint: null,
  interrupts: [],
};

export interface HistoryRequest {
  at: At;
  limit: number;
  before: string | null;
  metadata: Record<string, unknown> | null;
}

/** Earlier states, newest first. */
export async function readHistory(
  deps: Deps,
  thread: ThreadHead,
  { at, limit, before, metadata }: HistoryRequest,
): Promise<ThreadState[]> {
  const graphId = graphIdOf(thread);
  if (graphId === null) return [];
  const reading = await openReading(deps, thread, graphId);
  const states: ThreadState[] = [];
  const options = {
    limit,
    ...(before === null ? {} : { before: configOf(thread.thread_id, { checkpoint_id: before }) }),
    ...(metadata === null ? {} : { filter: metadata }),
  };
  for await (const snapshot of reading.graph.getStateHistory(configOf(thread.thread_id, at), options)) {
    // Only the tasks below a question say which one it is.
    const asks = snapshot.tasks.some((task) => task.interrupts.length > 0);
    const deep = asks ? await reading.graph.getState(snapshot.config, { subgraphs: true }) : snapshot;
    states.push(await present(reading, deep, { subgraphs: false }));
    if (states.length >= limit) break;
  }
  return states;
}

/** What a graph made by a function is made from, as for a run of this thread. */
export const factoryConfig = ({ config }: ThreadHead): Record<string, unknown> => ({
  configurable: config.configurable ?? {},
});

async function openReading({ db, registry }: Deps, thread: ThreadHead, graphId: string): Promise<Reading> {
  const saver = new FencedSaver({ db, holder: { kind: "reader" } });
  const opened = await registry.open(graphId, factoryConfig(thread));
  const asked = await escalationsOfThread(db, { threadId: thread.thread_id });
  const graph = Object.assign(opened, { checkpointer: saver });
  return { threadId: thread.thread_id, asked, latest: false, saver, graph };
}

export function configOf(
  threadId: string,
  { checkpoint_id, checkpoint_ns, checkpoint_map }: At,
): RunnableConfig {
  return {
    configurable: {
      thread_id: threadId,
      checkpoint_ns: checkpoint_ns ?? "",
      ...(checkpoint_id === undefined || checkpoint_id === null ? {} : { checkpoint_id }),
      ...(checkpoint_map === undefined || checkpoint_map === null ? {} : { checkpoint_map }),
    },
  };
}

async function present(
  reading: Reading,
  snapshot: StateSnapshot,
  { subgraphs }: { subgraphs: boolean },
): Promise<ThreadState> {
  const shown = await Promise.all(
    snapshot.tasks.map((task) => presentTask({ reading, owner: snapshot, subgraphs, depth: 0 }, task)),
  );
  return assemble(reading, snapshot, shown);
}

function assemble({ threadId }: Reading, snapshot: StateSnapshot, tasks: ShownTask[]): ThreadState {
  return {
    values: toPlain(snapshot.values),
    next: snapshot.next,
    tasks: tasks.map((task) => task.shown),
    metadata: toPlain(snapshot.metadata ?? {}),
    created_at: snapshot.createdAt ?? null,
    checkpoint: nameOf(threadId, snapshot.config),
    parent_checkpoint: nameOf(threadId, snapshot.parentConfig),
    interrupts: tasks.flatMap((task) => task.interrupts),
  };
}

export function nameOf(threadId: string, config: RunnableConfig | undefined): CheckpointName | null {
  const { checkpoint_id, checkpoint_ns, checkpoint_map } = config?.configurable ?? {};
  if (checkpoint_id === undefined) return null;
  return {
    thread_id: threadId,
    checkpoint_id,
    checkpoint_ns: checkpoint_ns ?? "",
    checkpoint_map: checkpoint_map ?? null,
  };
}

interface ShownTask {
  shown: Record<string, unknown>;
  interrupts: Interrupt[];
}

interface Place {
  reading: Reading;
  /** The snapshot that the task belongs to. */
  owner: StateSnapshot;
  subgraphs: boolean;
  depth: number;
}

/** A parent's copy of a question gets the id that the question has below it. */
async function presentTask({ reading, owner, subgraphs, depth }: Place, task: Task): Promise<ShownTask> {
  const child = task.state as StateSnapshot | RunnableConfig | undefined;
  const below = child !== undefined && "tasks" in child && depth < nestingMax ? child : undefined;
  const inner = await Promise.all(
    (below?.tasks ?? []).map((next) =>
      presentTask({ reading, owner: below ?? owner, subgraphs, depth: depth + 1 }, next),
    ),
  );
  const interrupts =
    inner.length > 0 ? inner.flatMap((next) => next.interrupts) : await ownInterrupts(reading, owner, task);
  const shown = {
    id: task.id,
    name: task.name,
    error: task.error === undefined ? null : toPlain(task.error),
    interrupts,
    path: task.path ?? null,
    checkpoint: subgraphs ? null : childCheckpoint(reading.threadId, child),
    state: subgraphs && below !== undefined ? assemble(reading, below, inner) : null,
    result: task.result === undefined ? null : toPlain(task.result),
  };
  return { shown, interrupts };
}

function childCheckpoint(
  threadId: string,
  child: StateSnapshot | RunnableConfig | undefined,
): Record<string, unknown> | null {
  if (child === undefined) return null;
  const { checkpoint_ns } =
    ("config" in child ? (child as StateSnapshot).config : (child as RunnableConfig)).configurable ?? {};
  return checkpoint_ns === undefined ? null : { thread_id: threadId, checkpoint_ns };
}

/** The ids under which the questions of a task can be answered: LangGraph's own are the same for all of a node. */
async function ownInterrupts(
  { threadId, asked, latest, saver }: Reading,
  owner: StateSnapshot,
  task: Task,
): Promise<Interrupt[]> {
  if (task.interrupts.length === 0) return [];
  const { checkpoint_ns = "", checkpoint_id } = owner.config.configurable ?? {};
  const tuple = await saver.getTuple({ configurable: { thread_id: threadId, checkpoint_ns, checkpoint_id } });
  const writes = tuple?.pendingWrites?.filter(([taskId]) => taskId === task.id) ?? [];
  if (latest && isDone(writes)) return [];
  const answers = writes.find(([, channel]) => channel === RESUME)?.[2];
  const answered = Array.isArray(answers) ? answers.length : 0;
  const rows = asked.filter((row) => row.task_id === task.id);
  // A child that has ended since no longer says what it asked.
  const below = asked.filter((row) => row.checkpoint_ns.includes(task.id));
  return task.interrupts.map((interrupt, n) => {
    const value = toPlain(interrupt.value);
    const stored =
      rows.find((row) => row.ordinal === answered + n) ?? lastWith(rows, value) ?? lastWith(below, value);
    return {
      value,
      id: stored?.interrupt_id ?? questionId({ threadId, taskId: task.id, ordinal: answered + n }),
    };
  });
}

/** A question that has been answered since stays on its checkpoint: its answers no longer tell its position. */
function lastWith(rows: EscalationRow[], value: unknown): EscalationRow | undefined {
  const payload = JSON.stringify(value ?? null);
  return rows.filter((row) => row.payload === payload).at(-1);
}
