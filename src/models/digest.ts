import type { BaseMessage } from "@langchain/core/messages";
import canonicalize from "canonicalize";
import { encode } from "../checkpoint/encode.ts";
import { optionsFor, type RequestOptions, type Target, targetName } from "./target.ts";

interface Asking {
  targets: readonly [Target, ...Target[]];
  messages: readonly BaseMessage[];
  options: RequestOptions;
}

/**
 * The request as a text that is the same whenever the same is asked of the same models, streamed or not. Message ids
 * are left out: messages made in a node get new ones each time.
 */
export function requestText({ targets, messages, options }: Asking): string {
  const told = messages.map((message) => {
    const { tool_calls, tool_call_id } = message as { tool_calls?: unknown; tool_call_id?: unknown };
    return {
      type: message.getType(),
      content: message.content,
      name: message.name,
      tool_calls,
      tool_call_id,
    };
  });
  const [first] = targets;
  const { stream: _, stream_options: __, ...params } = parametersOf(first, optionsFor(first, options));
  return canonicalize(encode({ messages: told, params, models: targets.map(targetName) })) ?? "";
}

const plainOptions = ["tools", "tool_choice", "response_format", "stop", "temperature", "seed"] as const;

/** What the provider will be sent beside the messages, where the model can say it. */
function parametersOf({ model }: Target, options: RequestOptions): Record<string, unknown> {
  const said: unknown = model.invocationParams(options as never);
  if (typeof said === "object" && said !== null && Object.keys(said).length > 0) return { ...said };
  return Object.fromEntries(plainOptions.map((name) => [name, options[name]]));
}
