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
export const simpleMessage = (message: BaseMessage): Record<string, unknown> | undefined =>
  isSimple(message) ? { ...fieldsOf(message), type: message.getType() } : undefined;

function fieldsOf(message: BaseMessage): Record<string, unknown> {
  const told = message as unknown as Record<string, unknown>;
  const fields: Record<string, unknown> = {};
  for (const name of Object.keys(message.lc_kwargs))
    fields[name] = name in message ? told[name] : message.lc_kwargs[name];
  return fields;
}

function isSimple(message: BaseMessage): boolean {
  const { lc_kwargs: given } = message;
  if (!classes.has(message.constructor) || !message.lc_serializable) return false;
  if (given === null || typeof given !== "object") return false;
  const told = message as unknown as Record<string, unknown>;
  return Object.keys(given).every(
    (name) => names.has(name) && isPlain(name in message ? told[name] : given[name], nestingMax),
  );
}

/** Data that JSON has a form for, and in which LangChain escapes nothing, for nothing in it looks like what it has written itself. */
function isPlain(value: unknown, depth: number): boolean {
  if (value === null || typeof value !== "object")
    return typeof value !== "function" && typeof value !== "bigint";
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth - 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  return Object.entries(value).every(
    ([key, item]) => !key.includes("lc") && !withMeaning.has(key) && isPlain(item, depth - 1),
  );
}
