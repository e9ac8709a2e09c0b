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

/** An object on the way to the value that is looked at. */
interface Place {
  value: object;
  /** Its key or index in the object above it. */
  name: string | number;
  above: Place | undefined;
  depth: number;
}

/**
 * A JSON tree that `decode` reads back equal. Throws UnstorableValue with the path of the first value it cannot keep. What
 * JSON has a form for is in the tree as it is, not copied: make it text before anybody can change the value.
 */
export function encode(value: unknown): Json {
  return walk(value, "$", undefined);
}

function walk(value: unknown, name: string | number, above: Place | undefined): Json {
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
      throw new UnstorableValue(pathOf(name, above), `a ${typeof value} cannot be stored`);
    case "object":
      break;
  }
  if (value === null) return null;
  const depth = above === undefined ? 0 : above.depth + 1;
  if (depth >= depthMax) throw new UnstorableValue(pathOf(name, above), `deeper than ${depthMax} levels`);
  for (let place = above; place !== undefined; place = place.above)
    if (place.value === value) throw new UnstorableValue(pathOf(name, above), "a cycle cannot be stored");
  const place = { value, name, above, depth };
  return fromObject(value, place, (child, key) => walk(child, key, place));
}

/** Put together only where it has to be told: most values can be kept. */
function pathOf(name: string | number, above: Place | undefined): string {
  if (above === undefined) return String(name);
  const { value } = above;
  const isMember = value instanceof Map || value instanceof Set;
  const own = typeof name === "number" ? `[${name}]` : isMember ? name : `.${name}`;
  return `${pathOf(above.name, above.above)}${own}`;
}

type Child = (value: unknown, name: string | number) => Json;

function fromObject(value: object, place: Place, child: Child): Json {
  if (Array.isArray(value)) return fromList(value, child);
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return fromPlain(value, child);
  const name = classNameOf(value);
  if (name !== undefined) return { [tag]: "lc", c: name, v: fromPlain(fieldsOf(value), child) };
  const builtin = fromBuiltin(value, place, child);
  if (builtin !== undefined) return builtin;
  const className = (prototype.constructor as { name?: string } | undefined)?.name ?? "unknown";
  // Classes of another realm (vm contexts, test runners) have their own Object.prototype.
  if (className === "Object") return fromPlain(value, child);
  throw new UnstorableValue(
    pathOf(place.name, place.above),
    `an instance of ${className} cannot be stored: keep plain data in the state`,
  );
}

/** JSON.stringify asks these for another value. */
const hasOwnForm = (value: object): boolean => "toJSON" in value;

function fromList(list: readonly unknown[], child: Child): Json[] {
  let changed: Json[] | undefined = hasOwnForm(list) ? [] : undefined;
  for (let n = 0; n < list.length; n += 1) {
    const item = list[n];
    const kept = child(item, n);
    if (kept !== item) changed ??= list.slice(0, n) as Json[];
    changed?.push(kept);
  }
  return changed ?? (list as Json[]);
}

function fromPlain(value: object, child: Child): Json {
  const fields = value as Record<string, unknown>;
  const keys = Object.keys(fields);
  const wrap = Object.hasOwn(value, tag) || Object.hasOwn(value, "__proto__");
  if (wrap) return { [tag]: "object", v: keys.map((key) => [key, child(fields[key], key)]) };
  let changed: Record<string, Json> | undefined = hasOwnForm(value) ? {} : undefined;
  for (const key of keys) {
    const item = fields[key];
    const kept = child(item, key);
    if (kept !== item) changed ??= { ...fields } as Record<string, Json>;
    if (changed !== undefined) changed[key] = kept;
  }
  return changed ?? (fields as Record<string, Json>);
}

function fromBuiltin(value: object, place: Place, child: Child): Json | undefined {
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
    throw new UnstorableValue(
      pathOf(place.name, place.above),
      `a ${value.constructor.name} cannot be stored`,
    );
  }
  if (value instanceof Error) return fromError(value, child);
  if (value instanceof Send) return { [tag]: "send", node: value.node, v: child(value.args, "args") };
  if (isDeltaSnapshot(value))
    return { [tag]: "delta", v: child((value as { value: unknown }).value, "value") };
  const { lg_name: name } = value as { lg_name?: string };
  if (name === "Overwrite") return { __overwrite__: child((value as { value: unknown }).value, "value") };
  return undefined;
}

function fromError(error: Error, child: Child): Json {
  const encoded: Record<string, Json> = { [tag]: "error", name: error.name, message: error.message };
  if (error.stack !== undefined) encoded.stack = error.stack;
  if (error.cause !== undefined) encoded.cause = child(error.cause, "cause");
  return encoded;
}
