/** Modes that LangGraph streams itself; `messages-tuple` is our clients' name for its `messages`. */
export const nativeModes = [
  "values",
  "updates",
  "messages",
  "custom",
  "tasks",
  "checkpoints",
  "debug",
  "tools",
] as const;
export type NativeMode = (typeof nativeModes)[number];

/** Namespace, mode and payload, as LangGraph yields them with subgraphs. */
export type Chunk = [string[], NativeMode, unknown];
