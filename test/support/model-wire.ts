/** The chat completions format, as the scripted model server writes it. */

const charactersPerPiece = 6;

/** `missing` sends none; `nan` sends what is not a count. */
export type ScriptedUsage = { input: number; output: number } | "missing" | "nan";

export interface ScriptedToolCall {
  id: string;
  name: string;
  args: unknown;
}

export interface ChatRequest {
  model?: string;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  response_format?: { type: string };
  messages?: { role: string; content: unknown; tool_call_id?: string }[];
  tools?: unknown[];
  [key: string]: unknown;
}

interface WireRequest {
  index: number;
  body: ChatRequest;
}

export interface Spoken {
  text: string;
  calls?: readonly ScriptedToolCall[];
  usage?: ScriptedUsage;
  finish?: string | null;
  pieceMs?: number;
}

/** The answer's body, in the pieces in which it is written. */
export function bodyOf(request: WireRequest, spoken: Spoken): string[] {
  const finish = spoken.finish === undefined ? "stop" : spoken.finish;
  const calls = (spoken.calls ?? []).map((call, index) => ({
    index,
    id: call.id,
    type: "function",
    function: {
      name: call.name,
      arguments: typeof call.args === "string" ? call.args : JSON.stringify(call.args),
    },
  }));
  const usage = usageOf(spoken, request);
  if (!request.body.stream) {
    const tools = calls.length > 0 ? { tool_calls: calls.map(({ index: _, ...call }) => call) } : {};
    const message = { role: "assistant", content: spoken.text, ...tools };
    return [
      JSON.stringify({ ...completion(request, [{ index: 0, message, finish_reason: finish }]), ...usage }),
    ];
  }
  const deltas: object[] = [{ role: "assistant", content: "" }];
  for (let at = 0; at < spoken.text.length; at += charactersPerPiece) {
    deltas.push({ content: spoken.text.slice(at, at + charactersPerPiece) });
  }
  for (const call of calls) deltas.push({ tool_calls: [call] });
  const events = deltas.map((delta) => event(chunk(request, [{ index: 0, delta, finish_reason: null }])));
  if (finish !== null) events.push(event(chunk(request, [{ index: 0, delta: {}, finish_reason: finish }])));
  if (request.body.stream_options?.include_usage && usage)
    events.push(event({ ...chunk(request, []), ...usage }));
  return [...events, "data: [DONE]\n\n"];
}

/** What an answer costs; nothing where no count is sent. */
export function tokensOf(request: WireRequest, spoken: Spoken): number {
  const { usage } = (usageOf(spoken, request) ?? {}) as { usage?: { total_tokens?: number } };
  return Math.max(0, usage?.total_tokens ?? 0);
}

function usageOf(spoken: Spoken, request: WireRequest): { usage: object } | null {
  const usage = spoken.usage ?? {
    input: JSON.stringify(request.body.messages ?? []).length,
    output: spoken.text.length,
  };
  if (usage === "missing") return null;
  if (usage === "nan") return { usage: { prompt_tokens: "NaN", completion_tokens: null, total_tokens: -1 } };
  return {
    usage: {
      prompt_tokens: usage.input,
      completion_tokens: usage.output,
      total_tokens: usage.input + usage.output,
    },
  };
}

export const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

export const chunk = (request: WireRequest, choices: unknown[]) => ({
  id: `chatcmpl-${request.index}`,
  object: "chat.completion.chunk",
  created: 0,
  model: request.body.model ?? "scripted",
  choices,
});

export const completion = (request: WireRequest, choices: unknown[]) => ({
  ...chunk(request, choices),
  object: "chat.completion",
});
