import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { hasOwnCheckpoint } from "../db/queries/checkpoint-reads.ts";
import { lockThread } from "../db/queries/create.ts";
import { escalationsOfThread, reopenEscalations } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import * as runs from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict, NotFound } from "../domain/errors.ts";
import type { RunKwargs } from "../domain/run.ts";
import { refuseCompensated } from "./compensate.ts";
import { createInTransaction } from "./create.ts";
import type { CreateRun } from "./request.ts";

interface Redrive {
  tenant: string;
  runId: string;
  principal: string;
}

/**
 * Starts a new run that does what a dead one did not finish: from its last checkpoint when it has one, else with its
 * original input. Throws NotFound, and Conflict when it is no dead letter, was discarded, was redriven before, or
 * when its thread has moved on since.
 */
export async function redriveRun({ db, bus }: { db: Database; bus: Bus }, redrive: Redrive): Promise<RunRow> {
  const run = await db.transaction(async (tx) => {
    const dead = await lockedDeadLetter(tx, redrive);
    const { run: made } = await createInTransaction(tx, await requestOf(tx, dead, redrive.principal));
    return made;
  });
  bus.publish("queue", run.thread_id);
  return run;
}

async function lockedDeadLetter(tx: Queryable, { tenant, runId }: Redrive): Promise<RunRow> {
  const named = one(await runs.getRun(tx, { runId, threadId: null, tenant }));
  if (named === undefined) throw new NotFound("Run not found");
  await lockThread(tx, { threadId: named.thread_id, tenant });
  // Two clicks wait for each other at the lock; the second sees the first one's run.
  const dead = one(await runs.getRun(tx, { runId, threadId: null, tenant }));
  if (dead === undefined) throw new NotFound("Run not found");
  if (dead.status !== "error" && dead.status !== "timeout")
    throw new Conflict(`run ${runId} is no dead letter`);
  if (dead.kind === "compensation")
    throw new Conflict(`run ${runId} is a compensation: answer its question to go on with it`);
  if (dead.discarded_at !== null) throw new Conflict(`run ${runId} was discarded: ${dead.discard_reason}`);
  const earlier = one(await runs.redrivesOf(tx, { runId }));
  if (earlier === undefined) return dead;
  throw new Conflict(`run ${runId} has been redriven`, {
    detail: { run_id: earlier.run_id, status: earlier.status },
  });
}

async function requestOf(tx: Queryable, dead: RunRow, principal: string): Promise<CreateRun> {
  const answer = await unusedAnswer(tx, dead);
  return {
    tenant: dead.tenant,
    threadId: dead.thread_id,
    assistantId: dead.assistant_id,
    graphId: dead.graph_id,
    kwargs: await kwargsOf(tx, dead),
    metadata: dead.metadata,
    threadConfig: null,
    multitaskStrategy: "enqueue",
    afterSeconds: 0,
    temporary: dead.temporary,
    createThread: false,
    attemptsMax: dead.attempts_max,
    redriveOf: dead.run_id,
    idempotencyKey: null,
    principal: answer?.by ?? principal,
  };
}

async function kwargsOf(tx: Queryable, dead: RunRow): Promise<RunKwargs> {
  const began =
    dead.input_applied ||
    one(await hasOwnCheckpoint(tx, { runId: dead.run_id, threadId: dead.thread_id })) !== undefined;
  if (!began) return dead.kwargs;
  await refuseCompensated(tx, dead);
  const [latest] = await runs.listRuns(tx, {
    threadId: dead.thread_id,
    tenant: dead.tenant,
    statuses: null,
    limit: 1,
    offset: 0,
  });
  if (latest !== undefined && latest.run_id !== dead.run_id && latest.seq > dead.seq) {
    throw new Conflict(
      `thread ${dead.thread_id} has a later run: its state is no longer what run ${dead.run_id} left`,
      {
        detail: { run_id: latest.run_id, status: latest.status },
      },
    );
  }
  const { command: _command, checkpoint: _checkpoint, ...rest } = dead.kwargs;
  return { ...rest, input: null };
}

/** A resume that died before its answer was written: the question opens again, and the same answer takes it. */
async function unusedAnswer(tx: Queryable, dead: RunRow): Promise<{ by: string } | undefined> {
  if (dead.resume === null || dead.input_applied) return undefined;
  const asked = await escalationsOfThread(tx, { threadId: dead.thread_id });
  const answered = asked.find((question) => question.resume_run_id === dead.run_id);
  await reopenEscalations(tx, { runId: dead.run_id, threadId: dead.thread_id });
  return answered?.decided_by == null ? undefined : { by: answered.decided_by };
}
