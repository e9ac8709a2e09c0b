import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import type { BaseMessage } from "@langchain/core/messages";
import { RunnableBinding } from "@langchain/core/runnables";
import type { AnswerLimits } from "./watch.ts";

/** What a model can do, as its owner declares it. What is not said is taken for granted. */
export interface Capabilities {
  tools?: boolean;
  json?: boolean;
  vision?: boolean;
  contextTokens?: number;
}

/** One model of one provider: what a breaker guards, and what an answer names. */
export interface Target {
  model: BaseChatModel;
  /** Whose concurrency limit it shares: the host, mostly. */
  provider: string;
  /** As the provider calls it. */
  name: string;
  can: Capabilities;
  limits: AnswerLimits;
  /** A stream that ends without a finish reason was cut. Not every provider sends one. */
  endsWithReason: boolean;
}

/** The name of its breaker. */
export const targetName = ({ provider, name }: Target): string => `${provider}/${name}`;

/** What calls may carry beside messages; the rest of LangChain's options goes through as it is. */
export interface RequestOptions {
  tools?: unknown[];
  tool_choice?: unknown;
  response_format?: unknown;
  [option: string]: unknown;
}

export interface Needs {
  tools: boolean;
  json: boolean;
  vision: boolean;
  /** A guess, on the low side: a model that can only just do it is tried. */
  contextTokens: number;
}

const charactersPerToken = 4;

export function needsOf(messages: readonly BaseMessage[], options: RequestOptions): Needs {
  const characters = messages.reduce((sum, { content }) => sum + lengthOf(content), 0);
  return {
    tools: (options.tools?.length ?? 0) > 0,
    json: options.response_format !== undefined,
    vision: messages.some(({ content }) => Array.isArray(content) && content.some(isImage)),
    contextTokens: Math.floor(characters / charactersPerToken),
  };
}

/** An image is counted as nothing: its bytes are not its tokens. */
function lengthOf(content: BaseMessage["content"]): number {
  if (typeof content === "string") return content.length;
  return content.reduce((sum, block) => sum + (isImage(block) ? 0 : JSON.stringify(block).length), 0);
}

const isImage = (block: { type?: unknown }): boolean => block.type === "image" || block.type === "image_url";

export function isAble({ can }: Target, needs: Needs): boolean {
  if (needs.tools && can.tools === false) return false;
  if (needs.json && can.json === false) return false;
  if (needs.vision && can.vision === false) return false;
  return needs.contextTokens <= (can.contextTokens ?? Number.POSITIVE_INFINITY);
}

/** Whether it is declared to hold more than the other one, which was asked and had not enough room. */
export const holdsMore = ({ can }: Target, other: Target): boolean =>
  can.contextTokens !== undefined && can.contextTokens > (other.can.contextTokens ?? 0);

/** The options in the provider's own form: tools travel in OpenAI's, which every `bindTools` reads. */
export function optionsFor({ model }: Target, options: RequestOptions): RequestOptions {
  const { tools, tool_choice } = options;
  if (tools === undefined || tools.length === 0 || model.bindTools === undefined) return options;
  const kwargs = tool_choice === undefined ? {} : { tool_choice };
  const bound: unknown = model.bindTools(tools as Parameters<typeof model.bindTools>[0], kwargs as object);
  const own = RunnableBinding.isRunnableBinding(bound)
    ? (bound as unknown as { config: object }).config
    : (bound as { defaultOptions?: object }).defaultOptions;
  return { ...options, ...own };
}
