import { Send } from "@langchain/langgraph";
import { isDeltaSnapshot } from "@langchain/langgraph-checkpoint";
import { UnstorableValue } from "../domain/errors.ts";
import { classNameOf, fieldsOf } from "./known-classes.ts";

/** Deeper than any state made by hand; far above it, loading would overflow the stack. */
export const depthMax = 256;
/** Bytes of one channel's value. */
export const valueBytesMax = 64 * 1024 * 1024;

/** Marks what JSON has no form for. A user's own object with this key is wrapped, so it cannot forge one. */
export const tag = "$hf";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A JSON tree that `decode` reads back equal. Throws UnstorableValue with the path of the first value it cannot keep. */
export function encode(value: unknown): Json {
  return walk(value, "$", 0, new Set());
}

function walk(value: unknown, path: string, depth: number, above: Set<object>): Json {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return { [tag]: "number", v: Object.is(value, -0) ? "-0" : String(value) };
    case "undefined":
      return { [tag]: "undefined" };
    case "bigint":
      return { [tag]: "bigint", v: value.toString() };
    case "function":
    case "symbol":
      throw new UnstorableValue(path, `a ${typeof value} cannot be stored`);
    case "object":
      break;
  }
  if (value === null) return null;
  if (depth >= depthMax) throw new UnstorableValue(path, `deeper than ${depthMax} levels`);
  if (above.has(value)) throw new UnstorableValue(path, "a cycle cannot be stored");
  above.add(value);
  const encoded = fromObject(value, path, (child, name) => walk(child, `${path}${name}`, depth + 1, above));
  above.delete(value);
  return encoded;
}

type Child = (value: unknown, name: string) => Json;

function fromObject(value: object, path: string, child: Child): Json {
  if (Array.isArray(value)) return Array.from(value, (item, n) => child(item, `[${n}]`));
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return fromPlain(value, child);
  const builtin = fromBuiltin(value, path, child);
  if (builtin !== undefined) return builtin;
  const name = classNameOf(value);
  if (name !== undefined) return { [tag]: "lc", c: name, v: fromPlain(fieldsOf(value), child) };
  const className = (prototype.constructor as { name?: string } | undefined)?.name ?? "unknown";
  // Classes of another realm (vm contexts, test runners) have their own Object.prototype.
  if (className === "Object") return fromPlain(value, child);
  throw new UnstorableValue(
    path,
    `an instance of ${className} cannot be stored: keep plain data in the state`,
  );
}

function fromPlain(value: object, child: Child): Json {
  const entries = Object.entries(value);
  const wrap = Object.hasOwn(value, tag) || Object.hasOwn(value, "__proto__");
  if (wrap) return { [tag]: "object", v: entries.map(([key, item]) => [key, child(item, `.${key}`)]) };
  const plain: Record<string, Json> = {};
  for (const [key, item] of entries) plain[key] = child(item, `.${key}`);
  return plain;
}

function fromBuiltin(value: object, path: string, child: Child): Json | undefined {
  if (value instanceof Date)
    return { [tag]: "date", v: Number.isNaN(value.getTime()) ? null : value.toISOString() };
  if (value instanceof Map) {
    return {
      [tag]: "map",
      v: [...value].map(([k, v], n) => [child(k, `<key ${n}>`), child(v, `<value ${n}>`)]),
    };
  }
  if (value instanceof Set)
    return { [tag]: "set", v: [...value].map((item, n) => child(item, `<item ${n}>`)) };
  if (value instanceof RegExp) return { [tag]: "regexp", v: [value.source, value.flags] };
  if (value instanceof Uint8Array) return { [tag]: "bytes", v: Buffer.from(value).toString("base64") };
  if (
    ArrayBuffer.isView(value) ||
    value instanceof ArrayBuffer ||
    value instanceof Promise ||
    value instanceof WeakMap
  ) {
    throw new UnstorableValue(path, `a ${value.constructor.name} cannot be stored`);
  }
  if (value instanceof Error) return fromError(value, child);
  if (value instanceof Send) return { [tag]: "send", node: value.node, v: child(value.args, ".args") };
  if (isDeltaSnapshot(value))
    return { [tag]: "delta", v: child((value as { value: unknown }).value, ".value") };
  const { lg_name: name } = value as { lg_name?: string };
  if (name === "Overwrite") return { __overwrite__: child((value as { value: unknown }).value, ".value") };
  return undefined;
}

function fromError(error: Error, child: Child): Json {
  const encoded: Record<string, Json> = { [tag]: "error", name: error.name, message: error.message };
  if (error.stack !== undefined) encoded.stack = error.stack;
  if (error.cause !== undefined) encoded.cause = child(error.cause, ".cause");
  return encoded;
}
