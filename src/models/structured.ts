import {
  type AIMessageChunk,
  HumanMessage,
  SystemMessage,
  type UsageMetadata,
} from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import pRetry from "p-retry";
import secureJson from "secure-json-parse";
import type { z } from "zod";
import { ModelError, toModelError } from "./model-error.ts";

/** The part of a chat model that is used here; `ChatOpenAI` is one. */
export interface StreamingModel {
  stream(
    messages: [SystemMessage, HumanMessage],
    options: RunnableConfig & { response_format: { type: "json_object" } },
  ): Promise<AsyncIterable<AIMessageChunk>>;
}

export interface ExtractJsonRequest<T> {
  model: StreamingModel;
  system: string;
  user: string;
  schema: z.ZodType<T>;
  signal?: AbortSignal | undefined;
  /** The config of the calling node: its callbacks stream the tokens and trace the call. */
  config?: RunnableConfig | undefined;
  limits?: Partial<AnswerLimits>;
}

export interface AnswerLimits {
  firstTokenMs: number;
  betweenTokensMs: number;
  wholeAnswerMs: number;
  answerCharactersMax: number;
  /** Of the connection only, and only before the first token: after it, a second try would be paid twice. */
  quickTriesMax: number;
  quickRetryWaitMs: number;
}

export const defaultAnswerLimits: Readonly<AnswerLimits> = {
  firstTokenMs: 60_000,
  betweenTokensMs: 30_000,
  wholeAnswerMs: 300_000,
  answerCharactersMax: 1_000_000,
  quickTriesMax: 3,
  quickRetryWaitMs: 150,
};

export interface TokenUsage {
  inputTokens: number;
  outputTokens: number;
}

export interface JsonAnswer<T> {
  value: T;
  /** null where the provider sent none, or sent what is not a count. */
  usage: TokenUsage | null;
  tries: number;
}

/**
 * Asks the model for one JSON object and gives it back checked. Throws `ModelError`, or the signal's reason when
 * the caller gave up.
 */
export async function extractJson<T>(request: ExtractJsonRequest<T>): Promise<JsonAnswer<T>> {
  const limits = { ...defaultAnswerLimits, ...request.limits };
  const outer = [request.signal, request.config?.signal].filter((s) => s !== undefined);
  const watch = watchAnswer(limits, outer);
  try {
    const { text, usage, tries } = await askWithQuickTries(request, limits, watch);
    return { value: check(parseObject(text), request.schema), usage, tries };
  } finally {
    watch.stop();
  }
}

async function askWithQuickTries<T>(
  request: ExtractJsonRequest<T>,
  limits: AnswerLimits,
  watch: AnswerWatch,
) {
  let tries = 0;
  const ask = async () => {
    tries++;
    try {
      return { ...(await readAnswer(request, limits, watch)), tries };
    } catch (error) {
      throw watch.signal.aborted ? watch.signal.reason : toModelError(error);
    }
  };
  return pRetry(ask, {
    retries: Math.max(0, limits.quickTriesMax - 1),
    minTimeout: limits.quickRetryWaitMs,
    randomize: true,
    signal: watch.signal,
    shouldRetry: ({ error }) => error instanceof ModelError && error.kind === "network" && !watch.tokenSeen,
  });
}

interface Answer {
  text: string;
  usage: TokenUsage | null;
}

async function readAnswer<T>(
  request: ExtractJsonRequest<T>,
  limits: AnswerLimits,
  watch: AnswerWatch,
): Promise<Answer> {
  const chunks = await watch.within(
    request.model.stream([new SystemMessage(askForJson(request.system)), new HumanMessage(request.user)], {
      ...request.config,
      signal: watch.signal,
      response_format: { type: "json_object" },
    }),
  );
  let text = "";
  let usage: TokenUsage | null = null;
  let finish: string | undefined;
  const iterator = chunks[Symbol.asyncIterator]();
  for (;;) {
    // The race, not the client, ends the wait: an abort during a stream makes the client end it as if it were whole.
    const next = await watch.within(iterator.next());
    if (next.done === true) break;
    text += next.value.text;
    if (next.value.text !== "") watch.token();
    usage = readUsage(next.value.usage_metadata) ?? usage;
    finish = readFinish(next.value) ?? finish;
    if (text.length > limits.answerCharactersMax) {
      watch.cancel(
        new ModelError("bad_answer", `the answer is longer than ${limits.answerCharactersMax} characters`),
      );
    }
  }
  assertWhole(text, finish);
  return { text, usage };
}

/** A stream that was cut at the right byte ends like a whole one; only the finish reason tells them apart. */
function assertWhole(text: string, finish: string | undefined): void {
  if (finish === "length")
    throw new ModelError("bad_answer", "the answer was cut at the model's token limit");
  if (finish === "content_filter")
    throw new ModelError("bad_answer", "the provider's content filter stopped the answer");
  if (finish === undefined && text !== "")
    throw new ModelError("network", "the stream ended before the answer did");
  if (text.trim() === "") throw new ModelError("bad_answer", "the model answered nothing");
}

function readFinish(chunk: AIMessageChunk): string | undefined {
  const reason: unknown = chunk.response_metadata.finish_reason;
  return typeof reason === "string" ? reason : undefined;
}

function readUsage(usage: UsageMetadata | undefined): TokenUsage | null {
  if (usage === undefined || !isCount(usage.input_tokens) || !isCount(usage.output_tokens)) return null;
  return { inputTokens: usage.input_tokens, outputTokens: usage.output_tokens };
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

/** JSON mode is refused by the API unless the prompt says the word. */
const askForJson = (system: string): string =>
  /\bjson\b/i.test(system) ? system : `${system}\n\nAnswer with one JSON object and nothing else.`;

function parseObject(text: string): unknown {
  const start = text.indexOf("{");
  const end = text.lastIndexOf("}");
  // Some models wrap the object in a code fence or a sentence, JSON mode or not.
  const body = start >= 0 && end > start ? text.slice(start, end + 1) : text;
  try {
    return secureJson.parse(body, undefined, { protoAction: "error", constructorAction: "error" });
  } catch (cause) {
    const shown = text.slice(0, 80).replaceAll(/\s+/g, " ");
    throw new ModelError("bad_answer", `the answer is not JSON: ${shown}`, { cause });
  }
}

/** More would not be read by anybody, and goes back to the model in the repair loop. */
const schemaIssuesMax = 20;

function check<T>(value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues
    .slice(0, schemaIssuesMax)
    .map((issue) => ({ path: issue.path.map(String).join("."), message: issue.message }));
  const shown = issues.map((issue) => `${issue.path || "(whole answer)"}: ${issue.message}`).join("; ");
  throw new ModelError("schema", `the answer does not fit the schema: ${shown}`, {
    cause: result.error,
    issues,
  });
}

interface AnswerWatch {
  readonly signal: AbortSignal;
  readonly tokenSeen: boolean;
  token(): void;
  cancel(reason: ModelError): void;
  /** Waits for the promise, or throws the reason of the signal, whichever comes first. */
  within<P>(promise: Promise<P>): Promise<P>;
  stop(): void;
}

function watchAnswer(limits: AnswerLimits, outer: readonly AbortSignal[]): AnswerWatch {
  const controller = new AbortController();
  const late = (what: string, ms: number) => () =>
    controller.abort(new ModelError("timeout", `the model sent no ${what} within ${ms} ms`));
  let tokenSeen = false;
  let idle = setTimeout(late("token", limits.firstTokenMs), limits.firstTokenMs);
  const whole = setTimeout(late("whole answer", limits.wholeAnswerMs), limits.wholeAnswerMs);
  // Not AbortSignal.any: its links stay on a signal that lives as long as the run.
  const follow = outer.map((signal) => ({ signal, listener: () => controller.abort(signal.reason) }));
  for (const { signal, listener } of follow) {
    if (signal.aborted) listener();
    else signal.addEventListener("abort", listener, { once: true });
  }
  const aborted = new Promise<never>((_, reject) => {
    const fail = () => reject(controller.signal.reason);
    if (controller.signal.aborted) fail();
    else controller.signal.addEventListener("abort", fail, { once: true });
  });
  aborted.catch(() => undefined);
  return {
    signal: controller.signal,
    get tokenSeen() {
      return tokenSeen;
    },
    token() {
      tokenSeen = true;
      clearTimeout(idle);
      idle = setTimeout(late("further token", limits.betweenTokensMs), limits.betweenTokensMs);
    },
    cancel: (reason) => controller.abort(reason),
    within: (promise) => Promise.race([aborted, promise]),
    stop() {
      clearTimeout(idle);
      clearTimeout(whole);
      for (const { signal, listener } of follow) signal.removeEventListener("abort", listener);
    },
  };
}
