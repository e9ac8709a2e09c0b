import { type ChatRequest, contentText } from "./prompt.ts";

/** The chat completions format. */

const charactersPerToken = 4;
const tokensPerChunk = 3;

export interface Completion {
  id: string;
  created: number;
  request: ChatRequest;
  text: string;
}

export function wholeAnswer(completion: Completion): string {
  const message = { role: "assistant", content: completion.text };
  const choices = [{ index: 0, message, finish_reason: "stop", logprobs: null }];
  return JSON.stringify({ ...envelope(completion, "chat.completion"), choices, usage: usageOf(completion) });
}

/** The answer as server-sent events, a few tokens each. */
export function* streamedAnswer(completion: Completion): Generator<string> {
  const base = envelope(completion, "chat.completion.chunk");
  const chunk = (delta: object, finish_reason: string | null) =>
    event({ ...base, choices: [{ index: 0, delta, finish_reason }] });
  yield chunk({ role: "assistant", content: "" }, null);
  const step = charactersPerToken * tokensPerChunk;
  for (let at = 0; at < completion.text.length; at += step) {
    yield chunk({ content: completion.text.slice(at, at + step) }, null);
  }
  yield chunk({}, "stop");
  if (completion.request.stream_options?.include_usage === true) {
    yield event({ ...base, choices: [], usage: usageOf(completion) });
  }
  yield "data: [DONE]\n\n";
}

export const errorBody = (message: string, type: string): string =>
  JSON.stringify({ error: { message, type, param: null, code: null } });

const event = (value: object): string => `data: ${JSON.stringify(value)}\n\n`;

const envelope = ({ id, created, request }: Completion, object: string) => ({
  id,
  object,
  created,
  model: request.model,
});

/** Counted as four characters to a token, which is what English averages; there is no tokenizer here. */
function usageOf({ request, text }: Completion) {
  const prompt_tokens = tokens(request.messages.map(contentText).join("\n"));
  const completion_tokens = tokens(text);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

const tokens = (text: string): number => Math.ceil(text.length / charactersPerToken);
