import { BaseCallbackHandler } from "@langchain/core/callbacks/base";
import { CallbackManager } from "@langchain/core/callbacks/manager";
import type { UsageMetadata } from "@langchain/core/messages";
import type { LLMResult } from "@langchain/core/outputs";
import { AsyncLocalStorageProviderSingleton } from "@langchain/core/singletons";
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

/** By run. */
const counting = new Map<string, BaseCallbackHandler>();

/**
 * Counts what the models report that nodes of a run call, until the returned function is called: tokens by agent and
 * model, and their price where the table has one. Answers of our own models are counted where they are paid for: a
 * replay comes through here as well.
 */
export function countModels(runId: string, counted: Counted): () => void {
  hearOfModels();
  const counter = tokenCounter(counted);
  counting.set(runId, counter);
  return () => {
    if (counting.get(runId) === counter) counting.delete(runId);
  };
}

function tokenCounter(counted: Counted): BaseCallbackHandler {
  return BaseCallbackHandler.fromMethods({
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
}

const counterOf = (metadata: Record<string, unknown> | undefined): BaseCallbackHandler | undefined =>
  counting.get(String(metadata?.run_id));

let hearing = false;

/**
 * LangChain's models ask `CallbackManager.configure` for those who want to hear of a call; nodes and edges do not. A handler
 * in the config of the run would be passed on through all of them: a sixth of the runs per second. The metadata of the call tells the run, or, where a node gave it others, that of the node.
 */
function hearOfModels(): void {
  if (hearing) return;
  hearing = true;
  const { configure } = CallbackManager;
  CallbackManager.configure = function (this: typeof CallbackManager, ...args) {
    const manager = configure.apply(this, args);
    const [, , , , metadata] = args;
    const counter =
      counterOf(metadata) ?? counterOf(AsyncLocalStorageProviderSingleton.getRunnableConfig()?.metadata);
    if (counter === undefined) return manager;
    const heard = manager ?? new CallbackManager();
    if (!heard.handlers.includes(counter)) heard.addHandler(counter, false);
    return heard;
  };
}
