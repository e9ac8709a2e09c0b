import { ToolMessage } from "@langchain/core/messages";
import type { ToolCall } from "@langchain/core/messages/tool";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { causeChain, classify } from "../domain/classify.ts";
import type { EffectClass } from "../domain/effect.ts";

/**
 * True for a failure that the model may be told of: the call has not taken place, and trying again is not the cure.
 * Any other goes the ledger's way.
 */
export function isKnownNotDone(error: unknown, kind: EffectClass | undefined): boolean {
  if (isGraphBubbleUp(error as Error)) return false;
  if (causeChain(error).some((link) => (link as Error).name === "NotDone")) return true;
  return kind === "read" && classify(error).name === "Fatal" && !isOurs(error);
}

/** What the runtime itself refuses is no matter for the model. */
const isOurs = (error: unknown): boolean =>
  causeChain(error).some((link) => (link as Error).name === "Fatal");

/** In the words of LangGraph's own tool node. */
export function errorMessage(error: unknown, call: ToolCall): ToolMessage {
  return new ToolMessage({
    status: "error",
    content: `Error: ${(error as Error).message}\n Please fix your mistakes.`,
    name: call.name,
    tool_call_id: call.id ?? "",
  });
}
