import { Document } from "@langchain/core/documents";
import * as messages from "@langchain/core/messages";

type Constructor = new (fields: Record<string, unknown>) => object;

/** The class instances a state may hold beside plain data: LangChain's messages and documents. */
const known: Record<string, Constructor> = {
  AIMessage: messages.AIMessage as unknown as Constructor,
  AIMessageChunk: messages.AIMessageChunk as unknown as Constructor,
  ChatMessage: messages.ChatMessage as unknown as Constructor,
  ChatMessageChunk: messages.ChatMessageChunk as unknown as Constructor,
  FunctionMessage: messages.FunctionMessage as unknown as Constructor,
  FunctionMessageChunk: messages.FunctionMessageChunk as unknown as Constructor,
  HumanMessage: messages.HumanMessage as unknown as Constructor,
  HumanMessageChunk: messages.HumanMessageChunk as unknown as Constructor,
  RemoveMessage: messages.RemoveMessage as unknown as Constructor,
  SystemMessage: messages.SystemMessage as unknown as Constructor,
  SystemMessageChunk: messages.SystemMessageChunk as unknown as Constructor,
  ToolMessage: messages.ToolMessage as unknown as Constructor,
  ToolMessageChunk: messages.ToolMessageChunk as unknown as Constructor,
  Document: Document as unknown as Constructor,
};

/** The name under which an instance is stored; undefined when its class is not one we know. */
export function classNameOf(value: object): string | undefined {
  const name = (value.constructor as { lc_name?: () => string; name: string }).name;
  if (value instanceof Document) return "Document";
  if (!messages.BaseMessage.isInstance(value)) return undefined;
  return Object.hasOwn(known, name) ? name : undefined;
}

/** What its constructor needs to make it again: the fields it was made from, as they are now. */
export function fieldsOf(value: object): Record<string, unknown> {
  if (value instanceof Document) {
    const { pageContent, metadata, id } = value;
    return id === undefined ? { pageContent, metadata } : { pageContent, metadata, id };
  }
  const message = value as messages.BaseMessage & { lc_kwargs: Record<string, unknown> };
  const current = message as unknown as Record<string, unknown>;
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(message.lc_kwargs))
    fields[key] = key in message ? current[key] : message.lc_kwargs[key];
  // Set after construction (reducers give ids), so not among the original fields.
  for (const key of ["id", "name"]) if (current[key] !== undefined) fields[key] = current[key];
  return fields;
}

export const isKnown = (name: string): boolean => Object.hasOwn(known, name);

export function make(name: string, fields: Record<string, unknown>): object | undefined {
  const Class = isKnown(name) ? known[name] : undefined;
  return Class === undefined ? undefined : new Class(fields);
}
