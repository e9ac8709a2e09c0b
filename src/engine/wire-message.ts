import {
  AIMessage,
  type BaseMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from "@langchain/core/messages";

/** Their `toDict` changes no name of these fields, and adds none. */
const classes: ReadonlySet<unknown> = new Set([AIMessage, HumanMessage, SystemMessage, ToolMessage]);
const names: ReadonlySet<string> = new Set([
  "content",
  "additional_kwargs",
  "response_metadata",
  "id",
  "name",
  "tool_calls",
  "invalid_tool_calls",
  "usage_metadata",
  "tool_call_id",
  "artifact",
  "status",
]);
const nestingMax = 16;
/** Keys that JSON.stringify, or `toWire`, heeds. */
const withMeaning: ReadonlySet<string> = new Set(["toJSON", "langgraph_auth_user"]);

/** A message as clients are shown it. LangChain's own way to it takes five times as long, which counts in long conversations. */
export const plainMessage = (message: BaseMessage): Record<string, unknown> =>
  simpleMessage(message) ?? { ...message.toDict().data, type: message.getType() };

/** The same, where nothing in it must be looked at by itself on its way to JSON. */
export function simpleMessage(message: BaseMessage): Record<string, unknown> | undefined {
  const { lc_kwargs: given } = message;
  if (!classes.has(message.constructor) || !message.lc_serializable) return undefined;
  if (given === null || typeof given !== "object") return undefined;
  const told = message as unknown as Record<string, unknown>;
  const fields: Record<string, unknown> = {};
  for (const name of Object.keys(given)) {
    const field = name in message ? told[name] : given[name];
    if (!names.has(name) || !isPlain(field)) return undefined;
    fields[name] = field;
  }
  fields.type = message.getType();
  return fields;
}

/** Data that JSON has a form for, and in which LangChain escapes nothing, for nothing in it looks like what it has written itself. */
export function isPlain(value: unknown, depth = nestingMax): boolean {
  if (value === null || typeof value !== "object")
    return typeof value !== "function" && typeof value !== "bigint";
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth - 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  const fields = value as Record<string, unknown>;
  return Object.keys(fields).every(
    (key) => !key.includes("lc") && !withMeaning.has(key) && isPlain(fields[key], depth - 1),
  );
}
