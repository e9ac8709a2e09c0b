import { Fatal } from "../domain/errors.ts";
import { type Environment, graphEnvironment } from "../observe/environment.ts";
import { type ChatModelOptions, chatModel } from "./chat-model.ts";
import type { DurableChatModel } from "./durable-model.ts";
import type { AnswerLimits } from "./watch.ts";

export const defaultModel = "gpt-4.1-mini";

/**
 * The chat model that OPENAI_API_KEY, OPENAI_BASE_URL and MODEL name, with the fallbacks and limits of the other MODEL
 * settings. Call it in a node, not when the module loads: the server sets the first three when it starts its stand-in.
 * Throws Fatal `invalid_key` when there is no key.
 */
export function modelFromEnvironment(
  more: Omit<Partial<ChatModelOptions>, "apiKey"> = {},
  environment: Environment = graphEnvironment(),
): DurableChatModel {
  const apiKey = environment.OPENAI_API_KEY ?? "";
  const baseURL = environment.OPENAI_BASE_URL ?? "";
  const model = environment.MODEL ?? "";
  if (apiKey === "")
    throw new Fatal("OPENAI_API_KEY is not set: no model can be asked", { code: "invalid_key" });
  const shared = {
    ...limitsFrom(environment),
    ...(baseURL === "" ? {} : { baseURL }),
    ...more,
    apiKey,
  };
  const names = (environment.MODEL_FALLBACKS ?? "").split(",").map((name) => name.trim());
  const fallbacks = names.filter((name) => name !== "").map((name) => ({ ...shared, model: name }));
  return chatModel({ model: model === "" ? defaultModel : model, fallbacks, ...shared });
}

const limitSettings = {
  timeoutMs: "MODEL_TIMEOUT_SECONDS",
  firstTokenMs: "MODEL_FIRST_TOKEN_SECONDS",
  betweenTokensMs: "MODEL_BETWEEN_TOKENS_SECONDS",
  wholeAnswerMs: "MODEL_STREAM_SECONDS",
} as const;

/** The server has checked them at its start; outside of it, what is no number counts as not set. */
function limitsFrom(environment: Environment): Partial<AnswerLimits> {
  const limits: Partial<AnswerLimits> = {};
  for (const [limit, setting] of Object.entries(limitSettings)) {
    const seconds = Number(environment[setting]);
    if (seconds > 0) limits[limit as keyof typeof limitSettings] = seconds * 1_000;
  }
  return limits;
}
