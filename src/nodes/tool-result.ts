import { createHash } from "node:crypto";
import { ToolMessage } from "@langchain/core/messages";
import type { ToolCall } from "@langchain/core/messages/tool";
import type { RunnableToolLike } from "@langchain/core/runnables";
import type { DynamicTool, StructuredToolInterface } from "@langchain/core/tools";
import { Command, isCommand } from "@langchain/langgraph";
import { decode } from "../checkpoint/decode.ts";
import { encode } from "../checkpoint/encode.ts";
import { Fatal, UnstorableValue } from "../domain/errors.ts";

export type AnyTool = StructuredToolInterface | DynamicTool | RunnableToolLike;
export type ToolOutput = ToolMessage | Command;

/** Marks what is more than a returned value; an author's own object with this key is wrapped. */
const mark = "$tool";
type Marked =
  | { [mark]: "value"; v: unknown }
  | { [mark]: "command"; v: unknown }
  /** What the model is told is not made from what the tool returned. */
  | { [mark]: "told"; returned: unknown; v: unknown }
  | { [mark]: "unstorable"; reason: string };

interface Told {
  tool: AnyTool;
  call: ToolCall;
  taskId: string;
}

/**
 * A tool's result as JSON for the ledger: what its function returned, so that a person and a compensation can read
 * it. A value that cannot be stored becomes a note of that: the call has taken place all the same.
 */
export function storedResult(result: { returned: unknown; output: unknown }, told: Told): unknown {
  try {
    const returned = isReplayable(result.returned) ? stored(result.returned) : undefined;
    const output = asOutput(result.output, told);
    if (returned !== undefined && same(asOutput(readStored(returned), told), output)) return returned;
    return { [mark]: "told", returned: returned ?? null, v: stored(output) } satisfies Marked;
  } catch (error) {
    if (!(error instanceof UnstorableValue)) throw error;
    return { [mark]: "unstorable", reason: error.message } satisfies Marked;
  }
}

/** The message or command for a stored result: the same, however often it is read. */
export function outputOf(result: unknown, told: Told): ToolOutput {
  if (isMarked(result) && result[mark] === "unstorable") {
    throw new Fatal(
      `tool ${told.tool.name} was called, but what it returned cannot be stored: ${result.reason}`,
      { code: "unstorable_result" },
    );
  }
  return asOutput(
    isMarked(result) && result[mark] === "told" ? readStored(result.v) : readStored(result),
    told,
  );
}

/** What the tool's function returned. */
export function returnedBy(result: unknown): unknown {
  if (!isMarked(result) || result[mark] !== "told") return readStored(result);
  return result.returned === null ? readStored(result.v) : readStored(result.returned);
}

/** A message or command as JSON, and back. */
export function stored(value: unknown): unknown {
  if (isCommand(value)) {
    const { graph, update, goto, resume } = value as Command;
    return { [mark]: "command", v: treeOf({ graph, update, goto, resume }) } satisfies Marked;
  }
  const json = treeOf(value);
  return isMarked(json) ? ({ [mark]: "value", v: json } satisfies Marked) : json;
}

export function readStored(json: unknown): unknown {
  if (!isMarked(json)) return valueFrom(json);
  if (json[mark] === "command")
    return new Command(valueFrom(json.v) as ConstructorParameters<typeof Command>[0]);
  return json[mark] === "value" ? valueFrom(json.v) : valueFrom(json);
}

/** Of its own: a tool's author may go on with what was returned, and a node with what it reads. */
const treeOf = (value: unknown): unknown => JSON.parse(JSON.stringify(encode(value)));
const valueFrom = (tree: unknown): unknown => decode(structuredClone(tree));

const isMarked = (value: unknown): value is Marked =>
  typeof value === "object" && value !== null && Object.hasOwn(value, mark);

/** A generator has been read to its end: only what came out of it is left. */
const isReplayable = (value: unknown): boolean =>
  !(typeof value === "object" && value !== null && Symbol.asyncIterator in value);

const same = (a: ToolOutput, b: ToolOutput): boolean =>
  JSON.stringify(stored(a)) === JSON.stringify(stored(b));

/** As LangChain makes it; the id is made of what stays the same when the task is repeated. */
function asOutput(value: unknown, { tool, call, taskId }: Told): ToolOutput {
  if (isCommand(value)) return value as Command;
  const message = ToolMessage.isInstance(value) ? value : messageFrom(value, tool, call);
  return withId(message, taskId, call);
}

export function withId(message: ToolMessage, taskId: string, call: ToolCall): ToolMessage {
  message.id ??= createHash("sha256")
    .update(`${taskId}|${call.name}|${call.id ?? ""}`)
    .digest("hex")
    .slice(0, 32)
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  return message;
}

function messageFrom(value: unknown, tool: AnyTool, call: ToolCall): ToolMessage {
  const { responseFormat, metadata } = tool as {
    responseFormat?: string;
    metadata?: Record<string, unknown>;
  };
  const pair = responseFormat === "content_and_artifact" && Array.isArray(value) && value.length === 2;
  const [content, artifact] = pair ? (value as [unknown, unknown]) : [value, undefined];
  return new ToolMessage({
    status: "success",
    content: isContent(content) ? content : (JSON.stringify(content) ?? ""),
    artifact,
    tool_call_id: call.id ?? "",
    name: tool.name,
    ...(metadata === undefined ? {} : { metadata }),
  });
}

type Content = string | { type: string }[];
const isContent = (value: unknown): value is Content =>
  typeof value === "string" ||
  (Array.isArray(value) &&
    value.every((item) => typeof item === "object" && item !== null && "type" in item));
