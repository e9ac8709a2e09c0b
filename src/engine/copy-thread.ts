import { FencedSaver } from "../checkpoint/saver.ts";
import { KnownParts } from "../checkpoint/thread-parts.ts";
import type { Database } from "../db/pool.ts";
import { lockThread } from "../db/queries/create.ts";
import { escalationsOfThread, insertEscalation } from "../db/queries/escalations.ts";
import { effectsBehind } from "../db/queries/forks.ts";
import type { EscalationRow, ThreadHead, ThreadRow } from "../db/queries/rows.ts";
import { settleThread } from "../db/queries/settle.ts";
import * as copies from "../db/queries/thread-copy.ts";
import { getThread } from "../db/queries/threads.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import type { Question } from "../domain/outcome.ts";
import { effectsShownMax, repeated } from "../queue/fork.ts";
import { escalationOf } from "../queue/question.ts";
import type { Registry } from "./registry.ts";
import { factoryConfig, graphIdOf } from "./state.ts";
import { sendValues } from "./thread-values.ts";
import { readParked } from "./view.ts";

/** Beyond this a copy would hold the thread's lock for too long. */
const copyBytesMax = 256 * 1024 * 1024;

interface Deps {
  db: Database;
  registry: Registry;
}

export interface CopyThread {
  threadId: string;
  tenant: string;
  /** The copy may call again what the step under way has called. */
  repeatEffects: boolean;
}

/**
 * A thread of its own with the state, the history and the open questions that another one has committed, in one
 * transaction under that one's lock. Runs, the ledger of effects and the journal stay behind.
 * Throws Conflict for an unknown thread, as the Agent Server does, and while a step under way has effects.
 */
export async function copyThread({ db, registry }: Deps, request: CopyThread): Promise<ThreadRow> {
  return db.transaction(async (tx) => {
    const { threadId, tenant } = request;
    const source = one(await lockThread(tx, { threadId, tenant }));
    if (source === undefined) throw new Conflict("Thread not found");
    await checkSize(tx, threadId);
    const copyId = newId();
    const copied = one(await copies.insertCopy(tx, { threadId, copyId, tenant }));
    if (copied === undefined) throw new Conflict("Thread not found");
    if (!request.repeatEffects) await refuseRepeats(tx, { threadId, copyId });
    await showCopy(tx, { db, registry, source, copyId, ...copied });
    const copy = one(await getThread(tx, { threadId: copyId, tenant }));
    if (copy === undefined) throw new Conflict("Thread not found");
    return copy;
  });
}

async function checkSize(tx: Queryable, threadId: string): Promise<void> {
  const bytes = one(await copies.bytesOfThread(tx, { threadId })) ?? 0;
  if (bytes <= copyBytesMax) return;
  throw new Conflict(
    `the thread has ${bytes} bytes of state, a copy may have ${copyBytesMax}: prune it first`,
  );
}

/** What was done behind the copy's latest checkpoint is in the ledger of the thread, and the copy has none. */
async function refuseRepeats(
  tx: Queryable,
  { threadId, copyId }: { threadId: string; copyId: string },
): Promise<void> {
  const checkpointId = one(await copies.latestCheckpoint(tx, { threadId: copyId }));
  if (checkpointId === undefined) return;
  const behind = await effectsBehind(tx, {
    threadId,
    checkpointId,
    strict: true,
    placedOnly: true,
    limit: effectsShownMax,
  });
  if (behind.length === 0) return;
  throw repeated(
    behind,
    'the step that the thread is in has effects, which a copy would do again: copy it when the step has ended, or send {"holdfast_effects": "repeat"}',
  );
}

interface Copy extends Deps {
  source: ThreadHead;
  copyId: string;
  epoch: number;
  /** Whether the source shows values. */
  hasValues: boolean;
}

/** The copy's view and questions come from its own checkpoints: the source's may be of a step before. */
async function showCopy(
  tx: Queryable,
  { db, registry, source, copyId, epoch, hasValues }: Copy,
): Promise<void> {
  const graphId = graphIdOf(source);
  if (graphId === null) return;
  const saver = new FencedSaver({ db, on: tx, holder: { kind: "reader" } });
  const opened = await registry.open(graphId, factoryConfig(source));
  const graph = Object.assign(opened, { checkpointer: saver });
  const { view, questions } = await readParked(graph, saver, { threadId: copyId });
  const parts = new KnownParts({ on: tx, threadId: copyId });
  const shown = hasValues || view.parked;
  const values = shown ? await sendValues(tx, { threadId: copyId, parts, view }) : null;
  await settleThread(tx, {
    threadId: copyId,
    epoch,
    values,
    interrupts: JSON.stringify(view.interrupts),
    error: null,
    graphVersion: source.graph_version ?? (view.parked ? registry.version(graphId, graph) : null),
    status: view.parked || source.status === "interrupted" ? "interrupted" : "idle",
  });
  await askAgain(tx, { source, copyId, graphId, questions });
}

/** The questions of the copy have ids and times of their own: an answer to the source's cannot reach them. */
async function askAgain(
  tx: Queryable,
  asking: { source: ThreadHead; copyId: string; graphId: string; questions: Question[] },
): Promise<void> {
  const { source, copyId, graphId, questions } = asking;
  if (questions.length === 0) return;
  const { thread_id: threadId, tenant } = source;
  const asked = await escalationsOfThread(tx, { threadId });
  refuseEffectQuestions(
    asked,
    questions.map(({ taskId }) => taskId),
  );
  await copies.copyAnswers(tx, { threadId, copyId, asking: questions });
  for (const question of questions) {
    const same = asked.find(
      (row) => row.task_id === question.taskId && row.ordinal === question.ordinal && row.run_id !== null,
    );
    // The run that asked says under which config the answer is carried on.
    const asker = { tenant, thread_id: copyId, graph_id: graphId, run_id: same?.run_id ?? null };
    await insertEscalation(tx, escalationOf(asker, question));
  }
}

/** Without the ledger's row the copy would not ask it, and its answer would reach the question behind it. */
function refuseEffectQuestions(asked: EscalationRow[], taskIds: string[]): void {
  const about = asked.find(({ effect_id, task_id }) => effect_id !== null && taskIds.includes(task_id));
  if (about === undefined) return;
  throw new Conflict(
    `a step of the thread has asked about an effect (escalation ${about.escalation_id}): copy it when the step has ended`,
  );
}
