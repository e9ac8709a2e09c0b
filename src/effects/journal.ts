import { createHash } from "node:crypto";
import type { Database } from "../db/pool.ts";
import * as calls from "../db/queries/model-calls.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { Fatal, LeaseLost, Transient } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { storable } from "../domain/text.ts";
import type { TaskPlace } from "./task.ts";

/**
 * Requests without an answer that a provider may see for one step of a run, whatever asks for them: quick tries,
 * fallbacks, retries of a node, attempts of the run, crashes.
 */
export const requestsMax = 5;
/** How often a call may be put off uncharged, until its breaker or its limit lets it through. */
const waitsMax = 120;
const messageCharsMax = 1_000;

export interface StoredAnswer {
  answer: string;
  model: string;
  inputTokens: number | null;
  outputTokens: number | null;
}

/** One model call of a run, on its way from the request to the stored answer. */
export interface JournaledCall {
  /** What was answered before; null when it is to be asked. */
  readonly answer: string | null;
  /** Counts a request before it is sent. Throws Fatal `exhausted` when the step has had its share. */
  ask(model: string, before: unknown): Promise<void>;
  failed(error: Error): Promise<void>;
  /** Nobody could be asked. Throws Transient when that has been so for too long. */
  putOff(error: Error): Promise<void>;
  /** Stores the answer. Nothing may act on it before this has returned. */
  answered(stored: StoredAnswer): Promise<void>;
  /** It is over. Without an answer its place is the next equal request's, which a repeated step then finds answered. */
  close(): void;
}

export interface ModelJournal {
  open(place: TaskPlace, request: string): Promise<JournaledCall>;
}

interface Deps {
  db: Database;
  run: RunRow;
  /** Repeats a statement while the database is away; ends the attempt when the lease is gone. */
  write: <T>(statement: () => Promise<T>) => Promise<T>;
  /** When a checkpoint that is on its way is stored, or has failed. */
  settled: (ns: string, checkpointId: string) => Promise<void>;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

interface Position {
  nth: number;
  free(): void;
}

/** Equal requests of one task are told apart by order; one that brought no answer does not count. */
function openPositions(): (place: TaskPlace, digest: string) => Position {
  const taken = new Map<string, Set<number>>();
  return (place, digest) => {
    const key = `${place.taskId}|${place.execution}|${digest}`;
    const positions = taken.get(key) ?? new Set();
    taken.set(key, positions);
    let nth = 0;
    while (positions.has(nth)) nth += 1;
    positions.add(nth);
    return { nth, free: () => positions.delete(nth) };
  };
}

/** The journal of one attempt. */
export function openJournal({ db, run, write, settled }: Deps): ModelJournal {
  const next = openPositions();
  const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
  // Who forks from a checkpoint wants another answer than the one that is there.
  const salt = run.kwargs.checkpoint === undefined ? "" : run.run_id;
  return {
    async open(place, request) {
      const { nth, free } = next(place, sha256(request));
      const { ns, id: checkpointId } = place.checkpoint;
      await settled(ns, checkpointId);
      const persisted = await calls.checkpointStored(db, { threadId: run.thread_id, ns, checkpointId });
      // In a subgraph without a checkpointer task ids do not last: its requests are counted, its answers not reused.
      const told =
        persisted.length > 0
          ? { taskId: place.taskId, digest: sha256(salt + request), nth }
          : { taskId: place.rootTaskId, digest: sha256(`${place.taskId}|${run.epoch}|${request}`), nth };
      const opening = { ...lease, ...told, callId: newId(), tenant: run.tenant };
      const row = held(one(await write(() => calls.openModelCall(db, opening))));
      return journaled({ db, write, lease, row, free });
    },
  };
}

interface Opened extends Pick<Deps, "db" | "write"> {
  lease: calls.Lease;
  row: calls.ModelCallRow;
  free: () => void;
}

function journaled({ db, write, lease, row, free }: Opened): JournaledCall {
  const call = { ...lease, callId: row.call_id };
  let tries = row.tries;
  let done = row.state === "answered";
  return {
    answer: row.state === "answered" ? row.answer : null,
    async ask(model, before) {
      const asking = { ...call, taskId: row.task_id, nthTry: tries + 1, model, triesMax: requestsMax };
      const granted = held(one(await write(() => calls.askModelCall(db, asking))));
      if (!granted) throw exhausted(before ?? row.error);
      tries++;
    },
    async failed(error) {
      const told = { name: error.name, message: storable(error.message, messageCharsMax) };
      held(one(await write(() => calls.failModelCall(db, { ...call, error: told }))));
    },
    async putOff(error) {
      // Nothing to wait for: when the provider is back, this step may not ask it.
      if (tries >= requestsMax) throw exhausted(error);
      const waits = held(one(await write(() => calls.putOffModelCall(db, call))));
      if (waits <= waitsMax) return;
      throw new Transient(`put off ${waits} times: ${error.message}`, { cause: error });
    },
    async answered(stored) {
      held(one(await write(() => calls.answerModelCall(db, { ...call, ...stored }))));
      done = true;
    },
    close() {
      if (!done) free();
    },
  };
}

function exhausted(before: unknown): Fatal {
  const { message } = (before ?? {}) as { message?: unknown };
  const last = typeof message === "string" ? `; the last one: ${message}` : "";
  return new Fatal(`the model was asked ${requestsMax} times in this step without an answer${last}`, {
    code: "exhausted",
    ...(before instanceof Error ? { cause: before } : {}),
  });
}

function held<T>(row: T | undefined): T {
  if (row === undefined) throw new LeaseLost("a model call was refused: the lease has moved on");
  return row;
}
