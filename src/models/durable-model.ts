import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import type {
  BaseLanguageModelInput,
  StructuredOutputMethodOptions,
} from "@langchain/core/language_models/base";
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BindToolsInput,
} from "@langchain/core/language_models/chat_models";
import { assembleStructuredOutputPipeline } from "@langchain/core/language_models/structured_output";
import type { AIMessageChunk, BaseMessage } from "@langchain/core/messages";
import type { BaseLLMOutputParser } from "@langchain/core/output_parsers";
import type { ChatGenerationChunk, ChatResult } from "@langchain/core/outputs";
import type { Runnable, RunnableConfig } from "@langchain/core/runnables";
import { convertToOpenAITool } from "@langchain/core/utils/function_calling";
import { asChunk, asResult, type Piece } from "./answer.ts";
import { callModel } from "./calls.ts";
import { localBreaker } from "./local-breaker.ts";
import { callerConfig, type ModelRuntime, silent } from "./runtime.ts";
import { openSlots } from "./slots.ts";
import { structured } from "./structured-output.ts";
import type { Capabilities, Target } from "./target.ts";
import { type AnswerLimits, answerLimits } from "./watch.ts";

export interface DurableCallOptions extends BaseChatModelCallOptions {
  tools?: unknown[];
  response_format?: unknown;
}

type Targets = readonly [Target, ...Target[]];

/**
 * Any chat model of LangChain's under our rules: in a run its answers are journaled and replayed, its requests
 * counted, limited in time and number, and kept from a provider that is down; other models stand in for it in order.
 */
export class DurableChatModel extends BaseChatModel<DurableCallOptions> {
  readonly targets: Targets;
  readonly #alone: ModelRuntime;

  constructor(targets: Targets, alone?: ModelRuntime) {
    super({ maxRetries: 0 });
    this.targets = targets;
    this.#alone = alone ?? {
      journal: null,
      breaker: localBreaker(),
      slots: openSlots(),
      events: silent,
    };
  }

  /** The same models with other limits. */
  withLimits(limits: Partial<AnswerLimits>): DurableChatModel {
    const [first, ...others] = this.targets;
    const limited = (target: Target): Target => ({ ...target, limits: { ...target.limits, ...limits } });
    return new DurableChatModel([limited(first), ...others.map(limited)], this.#alone);
  }

  override async _generate(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    runManager?: CallbackManagerForLLMRun,
  ): Promise<ChatResult> {
    const pieces: Piece[] = [];
    for await (const piece of this.#call(messages, options, { streamed: false, runManager }))
      pieces.push(piece);
    return asResult(pieces);
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    for await (const piece of this.#call(messages, options, { streamed: true, runManager })) {
      const chunk = asChunk(piece);
      yield chunk;
      const index = { prompt: 0, completion: Number(chunk.generationInfo?.completion ?? 0) };
      await runManager?.handleLLMNewToken(chunk.text, index, undefined, undefined, undefined, { chunk });
    }
  }

  /** Every call comes through here with its config, before LangChain sets it aside. */
  override _separateRunnableConfigFromCallOptionsCompat(
    options?: Partial<DurableCallOptions>,
  ): [RunnableConfig, this["ParsedCallOptions"]] {
    const [config, callOptions] = super._separateRunnableConfigFromCallOptionsCompat(options);
    return [config, Object.assign(callOptions, { [callerConfig]: config })];
  }

  #call(
    messages: BaseMessage[],
    options: DurableCallOptions,
    how: { streamed: boolean; runManager: CallbackManagerForLLMRun | undefined },
  ): AsyncGenerator<Piece> {
    return callModel({
      targets: this.targets,
      messages,
      options: { ...options },
      ...how,
      alone: this.#alone,
    });
  }

  /** Tools travel in OpenAI's form; each provider's own model makes its own of it. */
  override bindTools(
    tools: BindToolsInput[],
    kwargs?: Partial<DurableCallOptions>,
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, DurableCallOptions> {
    const { strict } = (kwargs ?? {}) as { strict?: boolean };
    const fields = strict === undefined ? {} : { strict };
    const formatted = tools.map((tool) => (isProviderTool(tool) ? tool : convertToOpenAITool(tool, fields)));
    return this.withConfig({ ...kwargs, tools: formatted } as Partial<DurableCallOptions>) as Runnable<
      BaseLanguageModelInput,
      AIMessageChunk,
      DurableCallOptions
    >;
  }

  /**
   * Asks for an object of this schema: as the arguments of a tool (`functionCalling`, the default, which every model
   * with tools can do), by `jsonSchema` or by `jsonMode`.
   */
  override withStructuredOutput<Output extends Record<string, unknown> = Record<string, unknown>>(
    schema: Parameters<BaseChatModel["withStructuredOutput"]>[0],
    config: StructuredOutputMethodOptions<boolean> = {},
    // biome-ignore lint/suspicious/noExplicitAny: the overloads of the base class say what comes out
  ): any {
    const { method = "functionCalling", includeRaw } = config;
    const asked = structured(schema, { ...config, method });
    const model =
      asked.tool === undefined
        ? this.withConfig({ response_format: asked.responseFormat } as Partial<DurableCallOptions>)
        : this.bindTools([asked.tool], { tool_choice: asked.tool.function.name });
    return assembleStructuredOutputPipeline(model, asked.parser as BaseLLMOutputParser<Output>, includeRaw);
  }

  /** Of the first model: what tracing shows, and what callers ask a model about. */
  override getLsParams(options: this["ParsedCallOptions"]): ReturnType<BaseChatModel["getLsParams"]> {
    return this.targets[0].model.getLsParams(options as never);
  }

  override invocationParams(options?: this["ParsedCallOptions"]): unknown {
    return this.targets[0].model.invocationParams(options as never);
  }

  override get profile(): BaseChatModel["profile"] {
    return this.targets[0].model.profile;
  }

  get model(): string {
    return this.targets[0].name;
  }

  override _llmType(): string {
    return "holdfast";
  }
}

/** A tool that the provider itself runs: it has a type of its own and no arguments of ours. */
const isProviderTool = (tool: BindToolsInput): boolean =>
  "type" in tool && typeof tool.type === "string" && !("schema" in tool) && !("invoke" in tool);

export interface DurableOptions {
  /** Whose limit it shares, and the first part of its breaker's name, e.g. the host of the API. */
  provider: string;
  /** As the provider calls it. */
  name: string;
  can?: Capabilities;
  limits?: Partial<AnswerLimits>;
  /** Asked in order when this one cannot answer. */
  fallbacks?: readonly DurableChatModel[];
}

/** Puts a chat model of any provider under our rules. Give it `maxRetries: 0`: retries belong to the run. */
export function durableModel(model: BaseChatModel, options: DurableOptions): DurableChatModel {
  const { provider, name, can = {}, limits = {}, fallbacks = [] } = options;
  const target = { model, provider, name, can, limits: answerLimits(limits), endsWithReason: false };
  return new DurableChatModel([target, ...fallbacks.flatMap((fallback) => fallback.targets)]);
}
