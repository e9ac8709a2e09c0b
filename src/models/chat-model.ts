import { ChatOpenAI } from "@langchain/openai";

/** Everything a model call needs to know; the composition root reads it from the configuration. */
export interface ChatModelOptions {
  model: string;
  apiKey: string;
  /** Of an OpenAI-compatible API, with its version. */
  baseURL?: string;
  /** Until the answer's headers. A stream that stalls later is the caller's to watch: `extractJson` does. */
  timeoutMs?: number;
  temperature?: number;
  outputTokensMax?: number;
  headers?: Readonly<Record<string, string>>;
}

export const defaultModelTimeoutMs = 60_000;

/** Named here because the client would otherwise look for another one in the environment. */
const defaultBaseURL = "https://api.openai.com/v1";

/**
 * A chat model that tries once and says what happened. Retries belong to the run: the client's own would hold a
 * worker's slot while they wait, and would be lost with it.
 */
export function chatModel(options: ChatModelOptions): ChatOpenAI {
  return new ChatOpenAI({
    model: options.model,
    apiKey: options.apiKey,
    maxRetries: 0,
    timeout: options.timeoutMs ?? defaultModelTimeoutMs,
    streamUsage: true,
    // The chat completions API is what every compatible server speaks; the responses API is not.
    useResponsesApi: false,
    ...(options.temperature === undefined ? {} : { temperature: options.temperature }),
    ...(options.outputTokensMax === undefined ? {} : { maxTokens: options.outputTokensMax }),
    configuration: {
      maxRetries: 0,
      // The client prints chunks that it cannot read, and with them what the documents say.
      logLevel: "off",
      baseURL: options.baseURL ?? defaultBaseURL,
      ...(options.headers === undefined ? {} : { defaultHeaders: { ...options.headers } }),
    },
  });
}
