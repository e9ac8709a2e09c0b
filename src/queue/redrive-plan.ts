import { hasOwnCheckpoint } from "../db/queries/checkpoint-reads.ts";
import { openRuns } from "../db/queries/create.ts";
import { cancelledRedrive, compensationOf, laterRun, redrivesOf } from "../db/queries/dead-letters.ts";
import { effectsBehind, startOfRun } from "../db/queries/forks.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { getRun } from "../db/queries/runs.ts";
import { one, type Queryable } from "../db/query.ts";
import { Conflict, InvalidInput } from "../domain/errors.ts";
import { type EffectsPolicy, isTerminal, type RunKwargs } from "../domain/run.ts";
import { effectsShownMax, repeated, repeatsAllowed } from "./fork.ts";
import { questionId } from "./question.ts";
import type { CreateRun } from "./request.ts";

export const redriveStarts = ["checkpoint", "start"] as const;

export interface RedriveChoice {
  /** From the last checkpoint the dead run committed, or from where it began. */
  from: (typeof redriveStarts)[number];
  /** In place of the input as it was sent; undefined keeps that. Only from the start. */
  input: unknown;
  /** What to do about effects between the start and the end. Only from the start. */
  effects: EffectsPolicy | null;
}

export const asItStands: RedriveChoice = { from: "checkpoint", input: undefined, effects: null };

interface Plan {
  request: CreateRun;
  continues: boolean;
  /** It died before the answer that it brought was written: the question is to be opened for it again. */
  answersAgain: boolean;
}

/** The run that a redrive would make; only reads, and throws what `redriveRun` throws. */
export async function planRedrive(
  db: Queryable,
  dead: RunRow,
  choice: RedriveChoice & { principal: string; afterSeconds: number },
): Promise<Plan> {
  await checkUnhandled(db, dead);
  if (choice.from === "checkpoint" && choice.input !== undefined) {
    throw new InvalidInput("input: it can only be changed when the run starts again from the start", {
      field: "input",
    });
  }
  if (choice.from === "checkpoint" && choice.effects !== null) {
    throw new InvalidInput("effects: from its checkpoint a run repeats none, this goes with from: start", {
      field: "effects",
    });
  }
  const last = one(await cancelledRedrive(db, { runId: dead.run_id })) ?? dead;
  const { kwargs, continues } =
    choice.from === "start"
      ? await fromStart(db, { dead, last }, choice)
      : await fromCheckpoint(db, { dead, last });
  const request = { ...requestOf(dead, kwargs), effectsPolicy: choice.effects };
  const { afterSeconds, principal } = choice;
  const answersAgain = last.resume !== null && !last.input_applied;
  if (!answersAgain) return { request: { ...request, afterSeconds, principal }, continues, answersAgain };
  await checkNoneUnderWay(db, dead);
  const by = dead.resume?.[0]?.by ?? principal;
  return {
    request: { ...request, kwargs: answeringAgain(dead, kwargs), afterSeconds: 0, principal: by },
    continues,
    answersAgain,
  };
}

/** Its answers are for the questions that it was bound to, and not for what is asked by now. */
function answeringAgain(dead: RunRow, kwargs: RunKwargs): RunKwargs {
  const { thread_id: threadId, resume } = dead;
  const answers = (resume ?? []).map(({ taskId, answers: given }) => [
    questionId({ threadId, taskId, ordinal: given.length - 1 }),
    given.at(-1),
  ]);
  return { ...kwargs, command: { ...kwargs.command, resume: Object.fromEntries(answers) } };
}

async function checkUnhandled(db: Queryable, dead: RunRow): Promise<void> {
  const { run_id: runId, status } = dead;
  if (status !== "error" && status !== "timeout") throw new Conflict(`run ${runId} is no dead letter`);
  if (dead.kind === "compensation")
    throw new Conflict(`run ${runId} undoes effects of run ${dead.compensates}: it is not redriven as a run`);
  if (dead.discarded_at !== null) throw new Conflict(`run ${runId} was discarded: ${dead.discard_reason}`);
  const earlier = one(await redrivesOf(db, { runId }));
  if (earlier === undefined) return;
  throw new Conflict(`run ${runId} has been redriven`, {
    detail: { run_id: earlier.run_id, status: earlier.status },
  });
}

function requestOf(dead: RunRow, kwargs: RunKwargs): Omit<CreateRun, "principal" | "afterSeconds"> {
  return {
    tenant: dead.tenant,
    threadId: dead.thread_id,
    assistantId: dead.assistant_id,
    graphId: dead.graph_id,
    kwargs,
    metadata: dead.metadata,
    threadConfig: null,
    multitaskStrategy: "enqueue",
    temporary: dead.temporary,
    createThread: false,
    attemptsMax: dead.attempts_max,
    redriveOf: dead.run_id,
    idempotencyKey: null,
  };
}

/** An answer is given now: it cannot wait for another run's end. */
async function checkNoneUnderWay(db: Queryable, dead: RunRow): Promise<void> {
  const open = await openRuns(db, { threadId: dead.thread_id });
  const busy = open.find((run) => run.status !== "blocked");
  if (busy !== undefined) throw movedOn(dead, busy);
}

interface Again {
  kwargs: RunKwargs;
  continues: boolean;
}

const began = async (db: Queryable, run: RunRow): Promise<boolean> =>
  run.input_applied ||
  one(await hasOwnCheckpoint(db, { runId: run.run_id, threadId: run.thread_id })) !== undefined;

/** The dead letter, and the run that got furthest with its work: itself, or a redrive of it that was cancelled. */
interface Work {
  dead: RunRow;
  last: RunRow;
}

async function fromCheckpoint(db: Queryable, { dead, last }: Work): Promise<Again> {
  if (!(await began(db, last))) return { kwargs: last.kwargs, continues: false };
  await checkNotMovedOn(db, { dead, last });
  const { undone } = await undoing(db, last);
  if (undone)
    throw new Conflict(
      `effects of run ${last.run_id} were undone: its checkpoint counts on them, redrive from the start`,
    );
  const { command: _command, checkpoint: _checkpoint, ...rest } = last.kwargs;
  return { kwargs: { ...rest, input: null }, continues: true };
}

/** A fork from the checkpoint that the run found: what it wrote half-done is not built upon. */
async function fromStart(
  db: Queryable,
  { dead, last }: Work,
  { input, effects }: RedriveChoice,
): Promise<Again> {
  const origin = await originOf(db, last);
  const { kwargs } = origin;
  if (input !== undefined && (kwargs.command !== undefined || origin.resume !== null)) {
    throw new InvalidInput("input: this run began with a command, it has no input to change", {
      field: "input",
    });
  }
  const edited = input === undefined ? kwargs : { ...kwargs, input };
  if (!(await began(db, origin))) return { kwargs: edited, continues: false };
  if (origin.resume !== null)
    throw new Conflict(
      `run ${origin.run_id} began with an answer to a question: redrive from its checkpoint`,
    );
  await checkNotMovedOn(db, { dead, last });
  await undoing(db, last);
  const start = one(await startOfRun(db, { runId: origin.run_id, threadId: dead.thread_id }));
  // On an empty thread its own input is the first checkpoint: given again there, it replaces itself.
  const base = start?.parentId ?? (start?.source === "input" ? start.checkpointId : null);
  if (base === null || base === undefined)
    throw new Conflict(`run ${origin.run_id} began with nothing: start a new thread instead`);
  await checkRepeats(db, { threadId: dead.thread_id, checkpointId: base, effects });
  return {
    kwargs: { ...edited, checkpoint: { checkpoint_id: base, checkpoint_ns: "" } },
    continues: true,
  };
}

async function checkRepeats(
  db: Queryable,
  {
    threadId,
    checkpointId,
    effects,
  }: { threadId: string; checkpointId: string; effects: EffectsPolicy | null },
): Promise<void> {
  if (repeatsAllowed(effects)) return;
  const behind = await effectsBehind(db, { threadId, checkpointId, limit: effectsShownMax, strict: true });
  if (behind.length === 0) return;
  const how = 'say what to do about them by effects: "reuse" or "repeat"';
  throw repeated(behind, `from the start, effects would be done again: ${how}`);
}

const redrivesDepthMax = 50;

/** The run whose input this is about: a redrive from a checkpoint has none of its own. */
async function originOf(db: Queryable, dead: RunRow): Promise<RunRow> {
  let run = dead;
  for (let depth = 0; depth < redrivesDepthMax && continuesAnother(run); depth += 1) {
    const earlier = one(
      await getRun(db, { runId: run.redrive_of ?? "", threadId: null, tenant: run.tenant }),
    );
    if (earlier === undefined)
      throw new Conflict(
        `run ${run.redrive_of}, whose work this is, has been removed: redrive from the checkpoint`,
      );
    run = earlier;
  }
  return run;
}

const continuesAnother = ({ redrive_of, kwargs }: RunRow): boolean =>
  redrive_of !== null &&
  (kwargs.input ?? null) === null &&
  kwargs.command === undefined &&
  kwargs.checkpoint === undefined;

async function checkNotMovedOn(db: Queryable, { dead, last }: Work): Promise<void> {
  const later = one(await laterRun(db, { threadId: dead.thread_id, seq: last.seq, runId: dead.run_id }));
  if (later !== undefined) throw movedOn(last, later);
}

const movedOn = (dead: RunRow, later: RunRow): Conflict =>
  new Conflict(
    `thread ${dead.thread_id} has a later run: its state is no longer what run ${dead.run_id} left`,
    { detail: { run_id: later.run_id, status: later.status } },
  );

/** While effects are being undone nothing can be said about them. */
async function undoing(db: Queryable, dead: RunRow): Promise<{ undone: boolean }> {
  const found = one(await compensationOf(db, { runId: dead.run_id }));
  const status = (found?.status ?? null) as RunRow["status"] | null;
  if (status !== null && !isTerminal(status))
    throw new Conflict(`effects of run ${dead.run_id} are being undone: wait for the end of that`);
  return { undone: status !== null || (found?.undone ?? false) };
}
