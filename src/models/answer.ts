import { type AIMessage, AIMessageChunk, type UsageMetadata } from "@langchain/core/messages";
import { type ChatGeneration, ChatGenerationChunk, type ChatResult } from "@langchain/core/outputs";
import { decode } from "../checkpoint/decode.ts";
import { encode } from "../checkpoint/encode.ts";
import { ModelError } from "./model-error.ts";

/** A part of an answer, as it came: chunks of a stream, or the generations of an answer in one piece. */
export type Piece = ChatGeneration | ChatGenerationChunk;

export interface TokenUsage {
  inputTokens: number;
  outputTokens: number;
}

/** As stored: what it says is not asked for again, so it is kept whole. */
export const answerStoredCharactersMax = 64 * 1024 * 1024;

export const encodePiece = ({ text, message, generationInfo }: Piece): string =>
  JSON.stringify(encode({ text, message, generationInfo }));

/** The pieces of a stored answer, equal to those that came. */
export function decodePieces(stored: string): Piece[] {
  return (JSON.parse(stored) as unknown[]).map((tree) => {
    const piece = decode(tree) as ChatGeneration;
    if (!isChunk(piece)) return piece;
    const { text, message, generationInfo } = piece;
    return new ChatGenerationChunk({
      text,
      message: message as AIMessageChunk,
      ...(generationInfo === undefined ? {} : { generationInfo }),
    });
  });
}

const isChunk = (piece: Piece): boolean => AIMessageChunk.isInstance(piece.message);

/** The pieces as a stream, also where they were stored as one. */
export function asChunk(piece: Piece): ChatGenerationChunk {
  if (piece instanceof ChatGenerationChunk) return piece;
  const { text, message, generationInfo } = piece;
  const { content, id, name, additional_kwargs, response_metadata } = message;
  const { tool_calls = [], usage_metadata } = message as AIMessage;
  return new ChatGenerationChunk({
    text,
    message: new AIMessageChunk({
      content,
      additional_kwargs,
      response_metadata,
      tool_call_chunks: tool_calls.map((call, index) => ({
        type: "tool_call_chunk",
        index,
        name: call.name,
        args: JSON.stringify(call.args),
        ...(call.id === undefined ? {} : { id: call.id }),
      })),
      ...(id === undefined ? {} : { id }),
      ...(name === undefined ? {} : { name }),
      ...(usage_metadata === undefined ? {} : { usage_metadata }),
    }),
    ...(generationInfo === undefined ? {} : { generationInfo }),
  });
}

/** The pieces as one answer, also where they were stored as a stream. */
export function asResult(pieces: readonly Piece[]): ChatResult {
  const [first] = pieces;
  if (first === undefined) throw new ModelError("bad_answer", "the model answered nothing");
  const chunks = pieces.filter((piece): piece is ChatGenerationChunk => piece instanceof ChatGenerationChunk);
  const [head, ...rest] = chunks;
  const generations =
    head === undefined ? [...pieces] : [rest.reduce((whole, chunk) => whole.concat(chunk), head)];
  const usage = usageOf(pieces);
  if (usage === null) return { generations };
  const { inputTokens: promptTokens, outputTokens: completionTokens } = usage;
  const totalTokens = promptTokens + completionTokens;
  return { generations, llmOutput: { tokenUsage: { promptTokens, completionTokens, totalTokens } } };
}

/** What the provider counted; null where it sent nothing, or what is not a count. */
export function usageOf(pieces: readonly Piece[]): TokenUsage | null {
  for (const { message } of pieces.toReversed()) {
    const usage = readUsage((message as AIMessage).usage_metadata);
    if (usage !== null) return usage;
  }
  return null;
}

export function readUsage(usage: UsageMetadata | undefined): TokenUsage | null {
  if (usage === undefined || !isCount(usage.input_tokens) || !isCount(usage.output_tokens)) return null;
  return { inputTokens: usage.input_tokens, outputTokens: usage.output_tokens };
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

/** Drops what is no count, which would spoil every sum, and gives the message a name of its own. */
export function tidy(piece: Piece, id: string): Piece {
  const message = piece.message as AIMessage;
  if (message.usage_metadata !== undefined && readUsage(message.usage_metadata) === null)
    delete message.usage_metadata;
  if (message.id === undefined || message.id === null) message._updateId(id);
  return piece;
}

/** Why the answer ended, by whichever name the provider gives it. */
export function finishOf({ message, generationInfo }: Piece): string | undefined {
  const { response_metadata: told, additional_kwargs: more } = message;
  const reasons: unknown[] = [
    generationInfo?.finish_reason,
    told.finish_reason,
    told.stop_reason,
    more.stop_reason,
  ];
  return reasons.find((reason): reason is string => typeof reason === "string");
}

/** Whether the piece says something: before the first that does, a broken link costs nothing. */
export function saysSomething({ text, message }: Piece): boolean {
  const { tool_calls, tool_call_chunks, content } = message as AIMessageChunk;
  if (text !== "" || content.length > 0) return true;
  return (tool_calls?.length ?? 0) > 0 || (tool_call_chunks?.length ?? 0) > 0;
}

/** Who answered, as it stands in the message's `response_metadata.holdfast`. */
export interface Answered {
  model: string;
  /** Requests sent for this call, by this attempt. */
  tries: number;
  /** The first model, when it was not the one that answered. */
  fallback_from?: string;
}

/** Writes down who answered. On one piece alone: texts of several are joined when a stream is summed up. */
export function stamp(piece: Piece, answered: Answered): void {
  const { message } = piece;
  message.response_metadata = { ...message.response_metadata, holdfast: answered };
}
