import { threadsOfAssistant } from "../db/queries/threads.ts";
import type { AccessFilter } from "../domain/access.ts";
import { Conflict, NotFound } from "../domain/errors.ts";
import { deleteThread } from "../queue/cancel.ts";
import type { HttpDeps } from "./deps.ts";

export const threadsPerDeleteMax = 1_000;

/**
 * Deletes the tenant's threads that ran last with this assistant, each on its own. Throws Conflict where one cannot be
 * deleted, or where there are more than one request may take; those before it stay deleted.
 */
export async function deleteThreadsOf(
  deps: HttpDeps,
  { assistantId, tenant, access }: { assistantId: string; tenant: string; access: AccessFilter | null },
): Promise<void> {
  const limit = threadsPerDeleteMax + 1;
  const found = await threadsOfAssistant(deps.db, { tenant, assistantId, limit, access });
  for (const threadId of found.slice(0, threadsPerDeleteMax)) {
    await deleteThread(deps, { threadId, tenant }).catch((error: unknown) => {
      if (!(error instanceof NotFound)) throw error;
    });
  }
  if (found.length <= threadsPerDeleteMax) return;
  throw new Conflict(
    `Assistant ${assistantId} had more than ${threadsPerDeleteMax} threads: ${threadsPerDeleteMax} are deleted, send the request again for the rest`,
  );
}
