import type { StateSnapshot } from "@langchain/langgraph";
import { RESUME, WRITES_IDX_MAP } from "@langchain/langgraph-checkpoint";
import type { FencedSaver } from "../checkpoint/saver.ts";
import type { Question, ThreadView } from "../domain/outcome.ts";
import { questionId } from "../queue/question.ts";
import type { Graph } from "./registry.ts";
import { toPlain, toWire } from "./wire.ts";

type Task = StateSnapshot["tasks"][number];
const nestingMax = 32;

export interface Parked {
  view: ThreadView;
  questions: Question[];
  snapshot: StateSnapshot;
}

/** Values, and the text that clients have been shown for them. */
export interface Shown {
  values: unknown;
  text: string;
}

/** The thread as it is now: its values, and every question it waits for with its position in its task. */
export async function readParked(
  graph: Graph,
  saver: FencedSaver,
  { threadId, shown }: { threadId: string; shown?: Shown | undefined },
): Promise<Parked> {
  const snapshot = await graph.getState({ configurable: { thread_id: threadId } }, { subgraphs: true });
  const questions: Question[] = [];
  for (const { task, owner } of asking(snapshot))
    questions.push(...(await questionsOf(saver, threadId, task, owner)));
  const interrupts: ThreadView["interrupts"] = {};
  for (const { taskId, ordinal, payload } of questions) {
    const shown = { id: questionId({ threadId, taskId, ordinal }), value: payload };
    interrupts[taskId] = [...(interrupts[taskId] ?? []), shown];
  }
  const valuesText =
    shown !== undefined && areSame(snapshot.values, shown.values) ? shown.text : toWire(snapshot.values);
  const view: ThreadView = {
    // When somebody looks, which most often nobody does: it takes long for a long state.
    get values(): unknown {
      return JSON.parse(valuesText);
    },
    valuesText,
    interrupts,
    parked: snapshot.next.length > 0,
  };
  return { view, questions, snapshot };
}

/** Whether both hold the same objects under the same names, in the same order. */
function areSame(values: object, others: unknown): boolean {
  if (typeof others !== "object" || others === null) return false;
  const [own, theirs] = [Object.entries(values), Object.entries(others)];
  return (
    own.length === theirs.length &&
    own.every(([key, value], n) => key === theirs[n]?.[0] && Object.is(value, theirs[n]?.[1]))
  );
}

/** The tasks that called `interrupt()`: the deepest ones, since their parents only pass the question on. */
function asking(snapshot: StateSnapshot, depth = 0): { task: Task; owner: StateSnapshot }[] {
  if (depth >= nestingMax) return [];
  return snapshot.tasks.flatMap((task) => {
    const child = task.state as StateSnapshot | undefined;
    const below = child?.tasks === undefined ? [] : asking(child, depth + 1);
    // A child whose tasks ask nothing has moved on: what its parent passed on is no question any more.
    if (below.length > 0 || (child?.tasks ?? []).length > 0) return below;
    return task.interrupts.length > 0 ? [{ task, owner: snapshot }] : [];
  });
}

async function questionsOf(
  saver: FencedSaver,
  threadId: string,
  task: Task,
  owner: StateSnapshot,
): Promise<Question[]> {
  const { checkpoint_ns: checkpointNs = "", checkpoint_id: checkpointId } = owner.config.configurable ?? {};
  const tuple = await saver.getTuple({
    configurable: { thread_id: threadId, checkpoint_ns: checkpointNs, checkpoint_id: checkpointId },
  });
  const writes = tuple?.pendingWrites?.filter(([taskId]) => taskId === task.id) ?? [];
  if (isDone(writes)) return [];
  const answers = writes.find(([, channel]) => channel === RESUME)?.[2];
  const answered = Array.isArray(answers) ? answers.length : 0;
  return task.interrupts.map((interrupt, n) => ({
    taskId: task.id,
    ordinal: answered + n,
    interruptId: interrupt.id ?? null,
    node: String(task.name),
    checkpointNs,
    checkpointId: String(checkpointId),
    payload: toPlain(interrupt.value),
  }));
}

/** Answered and done, but a neighbour in its step still asks: its old question is stored beside its result. */
export function isDone(writesOfTask: [string, string, unknown][]): boolean {
  return writesOfTask.some(([, channel]) => !(channel in WRITES_IDX_MAP));
}

/** Every task of a snapshot and of its subgraphs. */
export function allTasks(snapshot: StateSnapshot, depth = 0): Task[] {
  if (depth >= nestingMax) return [];
  return snapshot.tasks.flatMap((task) => {
    const child = task.state as StateSnapshot | undefined;
    return child?.tasks === undefined ? [task] : [task, ...allTasks(child, depth + 1)];
  });
}
