import type { KnownParts } from "../checkpoint/thread-parts.ts";
import { sendParts } from "../db/queries/parts.ts";
import type { Queryable } from "../db/query.ts";
import { type ThreadView, valuesTextOf } from "../domain/outcome.ts";

/** What a thread shows, in stored form; its parts are sent in the caller's transaction. */
export async function sendValues(
  tx: Queryable,
  { threadId, parts, view }: { threadId: string; parts: KnownParts; view: ThreadView },
): Promise<string> {
  const sending = parts.open();
  const values = await sending.cut("values", valuesTextOf(view));
  await sendParts(tx, threadId, sending.parts);
  return values;
}
