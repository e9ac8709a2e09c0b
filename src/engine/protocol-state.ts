// State as the newer streaming protocol shows it: messages with the fields the protocol names, nothing of LangGraph's own.
type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const messageTypes: Readonly<Record<string, string>> = {
  human: "human",
  user: "human",
  ai: "ai",
  assistant: "ai",
  system: "system",
  tool: "tool",
  function: "function",
  remove: "remove",
};
const typeOf = ({ type }: Fields): string | undefined =>
  typeof type === "string" && Object.hasOwn(messageTypes, type) ? messageTypes[type] : undefined;

/** Plain data, with every message in it in the protocol's form. Questions travel as events of their own. */
export function protocolState(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(protocolState);
  if (!isFields(value)) return value;
  if (typeOf(value) !== undefined && "content" in value) return protocolMessage(value);
  const shown: Fields = {};
  for (const [key, entry] of Object.entries(value))
    if (key !== "__interrupt__") shown[key] = protocolState(entry);
  return shown;
}

function protocolMessage(message: Fields): Fields {
  const type = typeOf(message);
  const shown: Fields = { type, content: contentOf(message.content) };
  for (const field of ["id", "name"]) if (typeof message[field] === "string") shown[field] = message[field];
  for (const field of ["response_metadata", "additional_kwargs"])
    if (isFields(message[field]) && Object.keys(message[field]).length > 0) shown[field] = message[field];
  if (type === "tool") Object.assign(shown, kept(message, ["tool_call_id", "status", "artifact"]));
  if (type === "ai") Object.assign(shown, toolCallsOf(message), kept(message, ["usage_metadata"]));
  return shown;
}

const kept = (message: Fields, fields: readonly string[]): Fields =>
  Object.fromEntries(
    fields
      .filter((field) => message[field] !== undefined && message[field] !== null)
      .map((field) => [field, message[field]]),
  );

function toolCallsOf(message: Fields): Fields {
  const shown: Fields = {};
  for (const field of ["tool_calls", "invalid_tool_calls"]) {
    const calls = message[field];
    if (Array.isArray(calls) && calls.length > 0) shown[field] = calls;
  }
  return shown;
}

const blockTypes = new Set([
  "text",
  "reasoning",
  "tool_call",
  "tool_call_chunk",
  "invalid_tool_call",
  "server_tool_call",
  "server_tool_call_chunk",
  "server_tool_call_result",
  "image",
  "audio",
  "video",
  "file",
  "non_standard",
]);

function contentOf(content: unknown): unknown {
  if (!Array.isArray(content)) return content;
  return content.map((block) => (typeof block === "string" ? { type: "text", text: block } : blockOf(block)));
}

/** What a provider calls differently gets the protocol's name; what the protocol has no name for is marked so. */
function blockOf(block: unknown): unknown {
  if (!isFields(block) || typeof block.type !== "string") return { type: "non_standard", value: block };
  if (block.type === "image_url") {
    const { image_url: image } = block;
    return { type: "image", url: isFields(image) ? image.url : image };
  }
  if (block.type === "input_audio" && isFields(block.input_audio))
    return mimeTyped({ type: "audio", ...block.input_audio });
  return blockTypes.has(block.type) ? mimeTyped(block) : { type: "non_standard", value: block };
}

function mimeTyped({ mimeType, ...block }: Fields): Fields {
  return mimeType === undefined ? block : { ...block, mime_type: block.mime_type ?? mimeType };
}
