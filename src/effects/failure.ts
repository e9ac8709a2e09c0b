import { isGraphBubbleUp } from "@langchain/langgraph";
import { causeChain } from "../domain/classify.ts";
import type { EffectClass } from "../domain/effect.ts";
import { NotDone } from "../domain/errors.ts";

/** Answers that say the other side refused the call before it did anything. */
const refusals: ReadonlySet<number> = new Set([
  400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 429,
]);
/** No connection was made, so nothing was sent. */
const notConnected: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"]);
const systemError = /^E[A-Z_]+$/;

/** Whether a failed call has surely not taken place. The outermost link that says something decides. */
export function tookNoPlace(error: unknown, kind: EffectClass): boolean {
  if (kind === "read") return true;
  // A question inside the call: it goes on when it is answered, and does what it does then.
  if (isGraphBubbleUp(error)) return true;
  for (const link of causeChain(error)) {
    if (typeof link !== "object" || link === null) continue;
    // By name too: a graph may load another copy of our module.
    if (link instanceof NotDone || (link as Error).name === "NotDone") return true;
    const status = statusOf(link);
    if (status !== undefined) return refusals.has(status);
    const { code } = link as { code?: unknown };
    if (typeof code === "string" && systemError.test(code)) return notConnected.has(code);
  }
  return false;
}

function statusOf(link: object): number | undefined {
  const { status, statusCode, response } = link as {
    status?: unknown;
    statusCode?: unknown;
    response?: { status?: unknown } | null;
  };
  return [status, statusCode, response?.status].find(
    (value): value is number => typeof value === "number" && value >= 100,
  );
}
