import { BaseCallbackHandler } from "@langchain/core/callbacks/base";
import type { UsageMetadata } from "@langchain/core/messages";
import type { LLMResult } from "@langchain/core/outputs";
import { calcPrice } from "@pydantic/genai-prices";
import type { Metrics } from "./metrics.ts";

interface Reported {
  usage_metadata?: UsageMetadata;
  response_metadata: { model_name?: string; model?: string; holdfast?: unknown };
}

interface Counted {
  metrics: Metrics;
  graphId: string;
}

/** Counts what one answer cost, where the price table knows the model. */
export function countTokens(
  { metrics, graphId }: Counted,
  { model, inputTokens, outputTokens }: { model: string; inputTokens: number; outputTokens: number },
): void {
  const total = inputTokens + outputTokens;
  metrics.tokens.inc({ agent_name: graphId, model }, total);
  const price = calcPrice({ input_tokens: inputTokens, output_tokens: outputTokens }, model);
  if (price === null) metrics.unpriced.inc({ model }, total);
  else metrics.cost.inc({ agent_name: graphId }, price.total_price);
}

/**
 * Counts what models report: tokens by agent and model, and their price where the table has one. Answers of our own
 * models are counted where they are paid for: a replay comes through here as well.
 */
export function tokenCounter(counted: Counted): BaseCallbackHandler {
  const handler = BaseCallbackHandler.fromMethods({
    handleLLMEnd(output: LLMResult) {
      const generation = output.generations[0]?.[0] as { message?: Reported } | undefined;
      const message = generation?.message;
      const usage = message?.usage_metadata;
      if (message === undefined || usage === undefined || !Number.isFinite(usage.total_tokens)) return;
      const { model_name, model, holdfast } = message.response_metadata;
      if (holdfast !== undefined) return;
      const { input_tokens: inputTokens, output_tokens: outputTokens } = usage;
      countTokens(counted, { model: model_name ?? model ?? "unknown", inputTokens, outputTokens });
    },
  });
  // Only models are of interest: nodes, tools and retrievers need not tell.
  return Object.assign(handler, { ignoreChain: true, ignoreAgent: true, ignoreRetriever: true });
}
