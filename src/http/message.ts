/** LangChain's message classes, by the plain type their clients would send instead. */
const messageTypes: Readonly<Record<string, string>> = {
  HumanMessage: "human",
  HumanMessageChunk: "human",
  AIMessage: "ai",
  AIMessageChunk: "ai",
  SystemMessage: "system",
  SystemMessageChunk: "system",
  ToolMessage: "tool",
  ToolMessageChunk: "tool",
  RemoveMessage: "remove",
};

const messageFields = [
  "content",
  "id",
  "name",
  "additional_kwargs",
  "response_metadata",
  "tool_calls",
  "invalid_tool_calls",
  "usage_metadata",
  "tool_call_id",
  "status",
  "artifact",
] as const;

/** True for what LangChain would revive into an instance of one of its classes. */
export function reservedVersion(value: object): boolean {
  const { lc } = value as { lc?: unknown };
  return Object.hasOwn(value, "lc") && (lc === 1 || lc === 2);
}

/**
 * What the SDK sends for `new HumanMessage("hi")`, as the plain message it stands for. Null for every other
 * constructor: reviving by a name that a client chose would let it make objects of our process.
 */
export function messageOf(value: object): Record<string, unknown> | null {
  const { lc, type, id, kwargs } = value as { lc?: unknown; type?: unknown; id?: unknown; kwargs?: unknown };
  if (lc !== 1 || type !== "constructor" || typeof kwargs !== "object" || kwargs === null) return null;
  if (!Array.isArray(id) || id.length !== 3 || id[0] !== "langchain_core" || id[1] !== "messages")
    return null;
  const name = String(id[2]);
  if (!Object.hasOwn(messageTypes, name)) return null;
  const message: Record<string, unknown> = { type: messageTypes[name] };
  for (const field of messageFields) {
    if (Object.hasOwn(kwargs, field)) message[field] = (kwargs as Record<string, unknown>)[field];
  }
  return message;
}
