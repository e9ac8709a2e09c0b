import type { ChatOpenAI } from "@langchain/openai";
import { Fatal } from "../domain/errors.ts";
import { type Environment, graphEnvironment } from "../observe/environment.ts";
import { type ChatModelOptions, chatModel } from "./chat-model.ts";

export const defaultModel = "gpt-4.1-mini";

/**
 * The chat model that OPENAI_API_KEY, OPENAI_BASE_URL and MODEL name. Call it in a node, not when the module loads:
 * the server sets these three when it starts its stand-in. Throws Fatal `invalid_key` when there is no key.
 */
export function modelFromEnvironment(
  more: Omit<Partial<ChatModelOptions>, "apiKey"> = {},
  environment: Environment = graphEnvironment(),
): ChatOpenAI {
  const apiKey = environment.OPENAI_API_KEY ?? "";
  const baseURL = environment.OPENAI_BASE_URL ?? "";
  const model = environment.MODEL ?? "";
  if (apiKey === "")
    throw new Fatal("OPENAI_API_KEY is not set: no model can be asked", { code: "invalid_key" });
  return chatModel({
    model: model === "" ? defaultModel : model,
    ...(baseURL === "" ? {} : { baseURL }),
    ...more,
    apiKey,
  });
}
