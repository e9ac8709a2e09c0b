import { ChatOpenAI } from "@langchain/openai";
import { boundedFetch } from "./bounded-fetch.ts";
import { DurableChatModel } from "./durable-model.ts";
import type { Capabilities, Target } from "./target.ts";
import { type AnswerLimits, answerLimits } from "./watch.ts";

/**
 * Everything a model call needs to know. The limits: `timeoutMs` of an answer in one piece, `firstTokenMs`,
 * `betweenTokensMs` and `wholeAnswerMs` of a streamed one, and how often a broken link is tried again.
 */
export interface ChatModelOptions extends Partial<AnswerLimits> {
  model: string;
  apiKey: string;
  /** Of an OpenAI-compatible API, with its version. */
  baseURL?: string;
  temperature?: number;
  outputTokensMax?: number;
  headers?: Readonly<Record<string, string>>;
  /** What the model can do; what is not said is taken for granted. */
  can?: Capabilities;
  /** Models to ask in order when this one is down, too slow, limited, without quota or too small. */
  fallbacks?: readonly ChatModelOptions[];
}

/** Named here because the client would otherwise look for another one in the environment. */
const defaultBaseURL = "https://api.openai.com/v1";

/**
 * A chat model of an OpenAI-compatible API. Its requests are sent once, but for a link that breaks before the first
 * token: other retries belong to the run, where they hold no worker's slot and survive a crash.
 */
export function chatModel(options: ChatModelOptions): DurableChatModel {
  return new DurableChatModel([targetOf(options), ...(options.fallbacks ?? []).flatMap(targetsOf)]);
}

const targetsOf = (options: ChatModelOptions): Target[] => [
  targetOf(options),
  ...(options.fallbacks ?? []).flatMap(targetsOf),
];

function targetOf(options: ChatModelOptions): Target {
  const { model, baseURL = defaultBaseURL, can = {} } = options;
  return {
    model: openAIModel({ ...options, baseURL }),
    provider: URL.canParse(baseURL) ? new URL(baseURL).host : baseURL,
    name: model,
    can,
    limits: limitsOf(options),
    endsWithReason: true,
  };
}

function limitsOf(options: ChatModelOptions): AnswerLimits {
  const { timeoutMs, firstTokenMs, betweenTokensMs, wholeAnswerMs } = options;
  const { answerCharactersMax, quickTriesMax, quickRetryWaitMs } = options;
  const waits = { timeoutMs, firstTokenMs, betweenTokensMs, wholeAnswerMs };
  return answerLimits({ ...waits, answerCharactersMax, quickTriesMax, quickRetryWaitMs });
}

/** Only the wire: it tries once and says what happened. */
function openAIModel(options: ChatModelOptions): ChatOpenAI {
  return new ChatOpenAI({
    model: options.model,
    apiKey: options.apiKey,
    maxRetries: 0,
    streamUsage: true,
    // The chat completions API is what every compatible server speaks; the responses API is not.
    useResponsesApi: false,
    ...(options.temperature === undefined ? {} : { temperature: options.temperature }),
    ...(options.outputTokensMax === undefined ? {} : { maxTokens: options.outputTokensMax }),
    configuration: {
      maxRetries: 0,
      // The client prints chunks that it cannot read, and with them what the documents say.
      logLevel: "off",
      fetch: boundedFetch(),
      ...(options.baseURL === undefined ? {} : { baseURL: options.baseURL }),
      ...(options.headers === undefined ? {} : { defaultHeaders: { ...options.headers } }),
    },
  });
}
