import type { Database } from "../db/pool.ts";
import { getEscalation } from "../db/queries/escalations.ts";
import type { EscalationRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { Conflict } from "../domain/errors.ts";
import { type Accepted, createInTransaction } from "./create.ts";
import type { CreateRun } from "./request.ts";

/**
 * Decides one escalation: the decision is durable and its resume run queued in one transaction.
 * Throws Conflict with the winner as detail when it was decided before, or when a run of the thread is open.
 */
export async function decideEscalation(
  db: Database,
  { question, request }: { question: EscalationRow; request: CreateRun },
): Promise<Accepted> {
  return db.transaction(async (tx) => {
    const now = one(
      await getEscalation(tx, { escalationId: question.escalation_id, tenant: request.tenant }),
    );
    if (now !== undefined && now.status !== "open") throw alreadyDecided(now);
    try {
      return await createInTransaction(tx, request);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      // The thread's lock was waited for; who came first is visible now.
      const winner = one(
        await getEscalation(tx, { escalationId: question.escalation_id, tenant: request.tenant }),
      );
      throw winner !== undefined && winner.status !== "open" ? alreadyDecided(winner) : error;
    }
  });
}

/** The second decider is told who was first. */
export function alreadyDecided(winner: EscalationRow): Conflict {
  return new Conflict(`escalation ${winner.escalation_id} is ${winner.status}`, {
    detail: {
      status: winner.status,
      decided_by: winner.decided_by,
      decided_at: winner.decided_at,
      decision: winner.decision === null ? null : JSON.parse(winner.decision),
    },
  });
}
