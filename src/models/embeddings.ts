import { OpenAIEmbeddings } from "@langchain/openai";
import { Fatal } from "../domain/errors.ts";
import { type Environment, graphEnvironment } from "../observe/environment.ts";

const requestMillisMax = 15_000;

/** Vectors by an OpenAI-compatible API: OPENAI_API_KEY and OPENAI_BASE_URL. Throws Fatal `invalid_key` when there is no key. */
export function openaiEmbeddings(
  { model, dimensions }: { model: string; dimensions: number },
  environment: Environment = graphEnvironment(),
): OpenAIEmbeddings {
  const apiKey = environment.OPENAI_API_KEY ?? "";
  const baseURL = environment.OPENAI_BASE_URL ?? "";
  if (apiKey === "")
    throw new Fatal("OPENAI_API_KEY is not set: the index of the store cannot be asked", {
      code: "invalid_key",
    });
  // One try: a run is tried again whole, and an HTTP client by itself.
  return new OpenAIEmbeddings({
    model,
    dimensions,
    apiKey,
    maxRetries: 0,
    timeout: requestMillisMax,
    ...(baseURL === "" ? {} : { configuration: { baseURL } }),
  });
}
