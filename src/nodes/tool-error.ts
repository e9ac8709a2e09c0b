import { ToolMessage } from "@langchain/core/messages";
import type { ToolCall } from "@langchain/core/messages/tool";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { causeChain, classify } from "../domain/classify.ts";
import type { EffectClass } from "../domain/effect.ts";
import { tookNoPlace } from "../effects/failure.ts";

/**
 * True for a failure that the model may be told of: the call has not taken place, and trying again is not the cure.
 * Any other goes the ledger's way.
 */
export function isForTheModel(error: unknown, kind: EffectClass = "at_most_once"): boolean {
  if (isGraphBubbleUp(error as Error) || causeChain(error).some(isOurs)) return false;
  return tookNoPlace(error, kind) && classify(error).name !== "Transient";
}

/** What the runtime itself refuses is no matter for the model; nor what a tool calls fatal. */
const isOurs = (link: unknown): boolean =>
  ["Cancelled", "EffectUnsettled", "Fatal", "LeaseLost"].includes((link as Error).name);

/** In the words of LangGraph's own tool node. */
export function errorMessage(error: unknown, call: ToolCall): ToolMessage {
  return new ToolMessage({
    status: "error",
    content: `Error: ${(error as Error).message}\n Please fix your mistakes.`,
    name: call.name,
    tool_call_id: call.id ?? "",
  });
}
