import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { HumanMessage, SystemMessage } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import secureJson from "secure-json-parse";
import type { z } from "zod";
import { type Answered, finishOf, readUsage, type TokenUsage } from "./answer.ts";
import { DurableChatModel, durableModel } from "./durable-model.ts";
import { ModelError } from "./model-error.ts";
import type { AnswerLimits } from "./watch.ts";

export interface ExtractJsonRequest<T> {
  /** Ours, or any other chat model, which is then put under our rules for this call. */
  model: BaseChatModel;
  system: string;
  user: string;
  schema: z.ZodType<T>;
  signal?: AbortSignal | undefined;
  /** The config of the calling node: its callbacks stream the tokens and trace the call. */
  config?: RunnableConfig | undefined;
  /** Instead of the model's own. */
  limits?: Partial<AnswerLimits>;
}

export interface JsonAnswer<T> {
  value: T;
  /** null where the provider sent none, or sent what is not a count. */
  usage: TokenUsage | null;
  /** Requests that were sent for it. */
  tries: number;
}

/**
 * Asks the model for one JSON object and gives it back checked. Throws `ModelError`, or the signal's reason when
 * the caller gave up.
 */
export async function extractJson<T>(request: ExtractJsonRequest<T>): Promise<JsonAnswer<T>> {
  const { text, usage, tries } = await readAnswer(request);
  return { value: check(parseObject(text), request.schema), usage, tries };
}

interface Answer {
  text: string;
  usage: TokenUsage | null;
  tries: number;
}

async function readAnswer<T>(request: ExtractJsonRequest<T>): Promise<Answer> {
  const { config, system, user, limits = {} } = request;
  const signal = bothOf(request.signal, config?.signal);
  const answer: Answer = { text: "", usage: null, tries: 1 };
  let finish: string | undefined;
  try {
    const chunks = await durable(request.model)
      .withLimits(limits)
      .stream([new SystemMessage(askForJson(system)), new HumanMessage(user)], {
        ...config,
        ...(signal === undefined ? {} : { signal }),
        response_format: { type: "json_object" },
      });
    for await (const chunk of chunks) {
      answer.text += chunk.text;
      answer.usage = readUsage(chunk.usage_metadata) ?? answer.usage;
      answer.tries = (chunk.response_metadata.holdfast as Answered | undefined)?.tries ?? answer.tries;
      finish = finishOf({ text: "", message: chunk }) ?? finish;
    }
  } catch (error) {
    throw request.signal?.aborted ? request.signal.reason : error;
  }
  assertWhole(answer.text, finish);
  return answer;
}

function bothOf(one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined {
  return one !== undefined && other !== undefined ? AbortSignal.any([one, other]) : (one ?? other);
}

const durable = (model: BaseChatModel): DurableChatModel =>
  model instanceof DurableChatModel
    ? model
    : durableModel(model, { provider: model._llmType(), name: model.getName() });

function assertWhole(text: string, finish: string | undefined): void {
  if (finish === "length")
    throw new ModelError("bad_answer", "the answer was cut at the model's token limit");
  if (finish === "content_filter")
    throw new ModelError("bad_answer", "the provider's content filter stopped the answer");
  if (text.trim() === "") throw new ModelError("bad_answer", "the model answered nothing");
}

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
