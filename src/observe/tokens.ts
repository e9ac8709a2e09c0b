import { BaseCallbackHandler } from "@langchain/core/callbacks/base";
import type { UsageMetadata } from "@langchain/core/messages";
import type { LLMResult } from "@langchain/core/outputs";
import { calcPrice } from "@pydantic/genai-prices";
import type { Metrics } from "./metrics.ts";

interface Reported {
  usage_metadata?: UsageMetadata;
  response_metadata: { model_name?: string; model?: string };
}

/** Counts what models report: tokens by agent and model, and their price where the table has one. */
export function tokenCounter({
  metrics,
  graphId,
}: {
  metrics: Metrics;
  graphId: string;
}): BaseCallbackHandler {
  return BaseCallbackHandler.fromMethods({
    handleLLMEnd(output: LLMResult) {
      const generation = output.generations[0]?.[0] as { message?: Reported } | undefined;
      const message = generation?.message;
      const usage = message?.usage_metadata;
      if (message === undefined || usage === undefined || !Number.isFinite(usage.total_tokens)) return;
      const metadata = message.response_metadata;
      const model = metadata.model_name ?? metadata.model ?? "unknown";
      metrics.tokens.inc({ agent_name: graphId, model }, usage.total_tokens);
      const price = calcPrice(
        { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens },
        model,
      );
      if (price === null) metrics.unpriced.inc({ model }, usage.total_tokens);
      else metrics.cost.inc({ agent_name: graphId }, price.total_price);
    },
  });
}
