import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { discardOld, removeDiscarded } from "../db/queries/dead-letters.ts";
import { pruneEffects } from "../db/queries/effect-reads.ts";
import { expiredEscalations } from "../db/queries/escalations.ts";
import type { EscalationRow } from "../db/queries/rows.ts";
import { sweepItems } from "../db/queries/store.ts";
import * as threads from "../db/queries/threads.ts";
import { pruneDeliveries } from "../db/queries/webhooks.ts";
import { Conflict, NotFound } from "../domain/errors.ts";
import type { HumanResponse } from "../domain/escalation.ts";
import { isHumanInterrupt } from "../domain/escalation.ts";
import { decideEscalation } from "./answer.ts";
import { expiryPrincipal } from "./bind.ts";
import { sweepTemporary, sweepThreads } from "./prune-threads.ts";
import { promoteHeadless } from "./reaper.ts";
import { resumeRequest } from "./resume.ts";

const escalationsPerPassMax = 50;
const threadsPerPageMax = 100;
const pagesPerPassMax = 20;
const keysPerPageMax = 5_000;
const deadLettersPerPassMax = 500;
/** How long the stream of a finished stateless run can still be read. */
export const temporarySecondsMax = 120;
/** Clients may repeat a request with the same key for this long. */
export const idempotencySecondsMax = 24 * 3600;
/** How long a business key protects after its thread is gone. */
export const businessKeySecondsMax = 400 * 24 * 3600;
const effectsPerPageMax = 1_000;
/** How long it can be read what became of a webhook. */
const webhookDays = 30;
const webhooksPerPageMax = 1_000;
const storeItemsPerPageMax = 5_000;

const rethrow = (error: unknown): never => {
  throw error;
};

interface Deps {
  db: Database;
  bus: Bus;
}

/** Delayed runs that came due become heads; escalations past their expiry are answered as their gate said. */
export async function scheduleOnce(
  { db, bus }: Deps,
  onError: (error: unknown) => number = rethrow,
): Promise<{ promoted: number; expired: number }> {
  const promoted = await promoteHeadless(db, { all: false });
  let expired = 0;
  for (const question of await expiredEscalations(db, { limit: escalationsPerPassMax })) {
    expired += await answerExpired(db, question).catch(onError);
  }
  if (promoted + expired > 0) bus.publish("queue", "*");
  return { promoted, expired };
}

async function answerExpired(db: Database, question: EscalationRow): Promise<number> {
  const response: HumanResponse =
    question.on_expiry === "approve"
      ? { type: "accept", args: null }
      : { type: "ignore", args: "nobody answered in time" };
  const value = isHumanInterrupt(JSON.parse(question.payload)) ? [response] : response;
  const request = await resumeRequest(db, { question, value, principal: expiryPrincipal });
  try {
    await decideEscalation(db, { question, request });
    return 1;
  } catch (error) {
    // A human was faster, or the thread went away.
    if (error instanceof Conflict || error instanceof NotFound) return 0;
    throw error;
  }
}

export interface Pruned {
  threads: number;
  /** Threads past the time to live that they were given. */
  swept: number;
  keys: number;
  effects: number;
  /** Items of the store whose time to live is over. */
  items: number;
  /** Deliveries that ended long ago. */
  webhooks: number;
  /** Dead letters closed by age, and rows of discarded ones removed. */
  discarded: number;
  removed: number;
}

/**
 * Removes what nobody can ask for any more: threads of stateless runs, threads past their `ttl` (or all but their latest
 * state), old Idempotency-Keys, effects that outlived their threads, items of the store past their time, old webhooks, and, where an age is set,
 * dead letters: discarded when they are that old, removed when they have been discarded for as long.
 */
export async function pruneOnce({ db, bus }: Deps, { deadLetterDays = 0 } = {}): Promise<Pruned> {
  const errors: unknown[] = [];
  const failed = (error: unknown): false => {
    errors.push(error);
    return false;
  };
  /** Page after page while they are full. What fails does not keep the other parts from being done. */
  const part = async (limit: number, page: (limit: number) => Promise<number>): Promise<number> => {
    let removed = 0;
    for (let n = 0; n < pagesPerPassMax; n += 1) {
      const done = (await page(limit).catch(failed)) || 0;
      removed += done;
      if (done < limit) break;
    }
    return removed;
  };
  const pruned: Pruned = {
    threads: await part(threadsPerPageMax, (limit) => {
      return sweepTemporary({ db, bus }, { limit, olderThanSeconds: temporarySecondsMax, onError: failed });
    }),
    swept: await part(threadsPerPageMax, (limit) => sweepThreads({ db, bus }, { limit, onError: failed })),
    keys: await part(keysPerPageMax, async (limit) => {
      return (await threads.pruneIdempotencyKeys(db, { olderThanSeconds: idempotencySecondsMax, limit }))
        .length;
    }),
    effects: await part(effectsPerPageMax, async (limit) => {
      return (await pruneEffects(db, { olderThanSeconds: businessKeySecondsMax, limit })).length;
    }),
    items: await part(storeItemsPerPageMax, async (limit) => (await sweepItems(db, { limit })).length),
    webhooks: await part(webhooksPerPageMax, async (limit) => {
      return (await pruneDeliveries(db, { days: webhookDays, limit })).length;
    }),
    ...((await pruneDeadLetters(db, deadLetterDays).catch(failed)) || { discarded: 0, removed: 0 }),
  };
  if (errors.length > 0) throw new AggregateError(errors, `${errors.length} things could not be pruned`);
  return pruned;
}

async function pruneDeadLetters(db: Database, days: number): Promise<{ discarded: number; removed: number }> {
  if (days === 0) return { discarded: 0, removed: 0 };
  const removed = await removeDiscarded(db, { days, limit: deadLettersPerPassMax });
  const reason = `nobody handled it for ${days} days`;
  const discarded = await discardOld(db, { days, reason, limit: deadLettersPerPassMax });
  return { discarded: discarded.length, removed: removed.length };
}
