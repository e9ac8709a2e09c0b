import { Lane } from "../db/lane.ts";
import type { Database } from "../db/pool.ts";
import { insertParts } from "../db/queries/parts.ts";
import { promoteNext } from "../db/queries/settle.ts";
import { finishRuns, holdRuns, lockThreads, type Success } from "../db/queries/settle-group.ts";
import type { Queryable } from "../db/query.ts";
import { DatabaseAway } from "../domain/errors.ts";
import { valuesTextOf } from "../domain/outcome.ts";
import { bytesOfParts, type Part } from "../domain/parts.ts";
import type { ToldEnd } from "../domain/run-end.ts";
import { failpoint } from "../observe/failpoint.ts";
import { type Settlement, settleInTransaction } from "./settle.ts";
import { type StoredTexts, storedTextsOf } from "./stored-texts.ts";
import { roomForTravellers, travellerBytesMax } from "./travellers.ts";

interface Plain extends Success {
  parts: readonly Part[];
  bytes: number;
}

/** What became of a run in a group: it goes alone, or it was settled, and a run of its thread waited behind it or not. */
type Together = "alone" | "last" | "followed";

export interface Settled {
  /** How the run has ended, where it simply went well; undefined where the row alone can tell. */
  end?: ToldEnd | undefined;
  /** Whether a run may be due now that was not before. */
  queued: boolean;
}

/**
 * Settles the runs of this process. Those that simply went well travel together, in one transaction for all that wait
 * while the one before is under way; each is answered after its own commit.
 */
export class GroupSettle {
  readonly #db: Database;
  readonly #lane: Lane<Plain, Together>;

  constructor(db: Database) {
    this.#db = db;
    this.#lane = new Lane<Plain, Together>({ fits: roomForTravellers, send: (group) => this.#send(group) });
  }

  /** Throws LeaseLost, having written nothing, when the run has another holder. */
  async settle(settlement: Settlement): Promise<Settled> {
    await failpoint("settle.before");
    const stored = await storedTextsOf(settlement);
    const plain = plainOf(settlement, stored);
    const together = plain === undefined ? "alone" : await this.#lane.join(plain);
    if (together === "alone") await this.#db.transaction((tx) => settleInTransaction(tx, settlement, stored));
    await failpoint("settle.after");
    if (together === "alone") return { queued: true };
    return { end: endOf(settlement), queued: together === "followed" };
  }

  /** Those that were not settled go alone, and learn there what is the matter with them. */
  async #send(group: Plain[]): Promise<Together[]> {
    try {
      const settled = await this.#db.transaction((tx) => settleTogether(tx, group));
      return group.map(({ runId }) => settled.get(runId) ?? "alone");
    } catch (error) {
      if (error instanceof DatabaseAway) throw error;
      return group.map(() => "alone");
    }
  }
}

/** Of a run that was settled with others: nobody wanted it to stop, and it asks nothing. */
function endOf({ run, outcome }: Settlement): ToldEnd | undefined {
  if (outcome.kind !== "success") return undefined;
  const { run_id: runId, thread_id: threadId, tenant } = run;
  const output = valuesTextOf(outcome.view);
  return { runId, threadId, tenant, status: "success", error: null, output, asked: null };
}

/** What the outcome alone can tell: the row may still say that it is not as simple as that. */
function plainOf({ run, outcome }: Settlement, stored: StoredTexts): Plain | undefined {
  if (run.kind === "compensation" || outcome.kind !== "success" || outcome.questions.length > 0) return;
  const { view, graphVersion } = outcome;
  const { values, interrupts, finalEvents, parts } = stored;
  if (values === null || interrupts === null) return;
  const texts = values.length + interrupts.length + bytesOfParts(parts);
  const bytes = finalEvents.reduce((sum, { data }) => sum + data.length, texts);
  if (bytes > travellerBytesMax) return;
  const { run_id: runId, epoch, thread_id: threadId } = run;
  const parkedBy = view.parked ? graphVersion : null;
  return { runId, epoch, threadId, values, interrupts, parkedBy, finalEvents, parts, bytes };
}

/** The runs that were settled. Those whose row or thread somebody else has locked are left out, so it never waits. */
async function settleTogether(
  tx: Queryable,
  group: readonly Plain[],
): Promise<ReadonlyMap<string, Together>> {
  const [threads, runs] = await Promise.all([
    lockThreads(tx, { threadIds: group.map(({ threadId }) => threadId) }),
    holdRuns(tx, { leases: group }),
  ]);
  const locked = new Set(threads);
  const held = new Map(runs.map(({ runId, followed }) => [runId, followed]));
  const mine = group.filter(({ runId, threadId }) => locked.has(threadId) && held.has(runId));
  if (mine.length === 0) return new Map();
  const followed = mine.filter(({ runId }) => held.get(runId));
  const parts = mine.flatMap(({ threadId, parts }) => parts.map((part) => ({ ...part, threadId })));
  // Before the statement that reads them for the webhooks.
  const sent = parts.length > 0 ? insertParts(tx, parts) : undefined;
  const [ended] = await Promise.all([
    finishRuns(tx, mine),
    sent,
    ...followed.map(({ threadId }) => promoteNext(tx, { threadId })),
  ]);
  if (ended.length !== mine.length)
    throw new Error(`of ${mine.length} runs that were held ${ended.length} ended`);
  for (const _ of mine) await failpoint("settle.before_commit");
  return new Map(ended.map((runId) => [runId, held.get(runId) ? "followed" : "last"]));
}
