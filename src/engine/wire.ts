import { BaseMessage } from "@langchain/core/messages";
import { isUserOfRun } from "../domain/caller.ts";
import { isPlain, plainMessage, simpleMessage } from "./wire-message.ts";

/**
 * JSON text as the Agent Server's clients expect it: messages flat with their type, dates in ISO, a BigInt as text,
 * a Map as an object, a Set as a list, an Error as name and message. The user in a run's config is left out: see
 * `withoutUser`.
 */
export function toWire(value: unknown): string {
  if (!isPlainObject(value) || !Object.values(value).some(isListOfMessages)) return textOf(value) ?? "null";
  // Made text all at once: the pieces of a long one would have to be copied together.
  const fields: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value))
    if (!isUserOfRun(value, key)) fields[key] = simpleForm(field);
  return JSON.stringify(fields);
}

/** What JSON.stringify makes the same of, without being told how. */
function simpleForm(field: unknown): unknown {
  const simple = isListOfMessages(field) ? simpleMessages(field) : undefined;
  if (simple !== undefined || isPlain(field)) return simple ?? field;
  const text = textOf(field);
  return text === undefined ? undefined : JSON.parse(text);
}

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" &&
  value !== null &&
  Object.getPrototypeOf(value) === Object.prototype &&
  !("toJSON" in value) &&
  !Object.hasOwn(value, "__proto__");

/** One that begins with a message. */
const isListOfMessages = (value: unknown): value is unknown[] =>
  Array.isArray(value) && BaseMessage.isInstance(value[0]);

/**
 * Most of a long state are messages, and to ask for each of their fields what it is takes most of the time. Undefined
 * where that has to be asked.
 */
function simpleMessages(list: unknown[]): Record<string, unknown>[] | undefined {
  const simple: Record<string, unknown>[] = [];
  for (const item of list) {
    const message = BaseMessage.isInstance(item) ? simpleMessage(item) : undefined;
    if (message === undefined) return undefined;
    simple.push(message);
  }
  return simple;
}

/** Undefined for what JSON has no form for. */
function textOf(value: unknown): string | undefined {
  return JSON.stringify(value, function replace(this: unknown, key: string, shown: unknown) {
    // JSON.stringify has called toJSON already; the original is still on the holder.
    const holder = this as Record<string, unknown>;
    if (isUserOfRun(holder, key)) return undefined;
    const original = holder[key];
    return flatten(original, shown);
  });
}

function flatten(original: unknown, shown: unknown): unknown {
  if (typeof original === "bigint") return original.toString();
  if (original === null || typeof original !== "object") return shown;
  // Here, not one by one: JSON.stringify calls the toJSON of a message before it asks.
  if (Array.isArray(original))
    return original.map((item: unknown) => (BaseMessage.isInstance(item) ? plainMessage(item) : item));
  if (BaseMessage.isInstance(original)) return plainMessage(original);
  if (original instanceof Map)
    return Object.fromEntries([...original].map(([key, item]) => [String(key), item]));
  if (original instanceof Set) return [...original];
  if (original instanceof Error) return { error: original.name, message: original.message };
  if (original instanceof Uint8Array) return Buffer.from(original).toString("base64");
  return shown;
}

/** The same as plain data. */
export const toPlain = (value: unknown): unknown => JSON.parse(toWire(value));
