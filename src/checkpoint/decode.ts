import { Send } from "@langchain/langgraph";
import { DeltaSnapshot } from "@langchain/langgraph-checkpoint";
import { tag } from "./encode.ts";
import { isKnown, make } from "./known-classes.ts";

const errorClasses: Record<string, ErrorConstructor> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

type Tree = Record<string, unknown>;

/**
 * The value that `encode` was given. Data cannot make it run anything: unknown tags stay plain objects. The tree becomes
 * part of the value, so it must be nobody else's.
 */
export function decode(json: unknown): unknown {
  if (!isObject(json)) return json;
  if (Array.isArray(json)) return decodeItems(json);
  const tree = json as Tree;
  const kind = tree[tag];
  if (typeof kind === "string") return revive(kind, tree);
  for (const key of Object.keys(tree)) {
    const value = tree[key];
    if (isObject(value)) tree[key] = decode(value);
  }
  return tree;
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

function decodeItems(list: unknown[]): unknown[] {
  for (let n = 0; n < list.length; n += 1) {
    const item = list[n];
    if (isObject(item)) list[n] = decode(item);
  }
  return list;
}

function revive(kind: string, tree: Tree): unknown {
  const { v } = tree;
  switch (kind) {
    case "undefined":
      return undefined;
    case "number":
      return Number(v);
    case "bigint":
      return BigInt(v as string);
    case "date":
      return new Date(v === null ? Number.NaN : (v as string));
    case "map":
      return new Map((v as [unknown, unknown][]).map(([key, value]) => [decode(key), decode(value)]));
    case "set":
      return new Set((v as unknown[]).map(decode));
    case "regexp":
      return new RegExp((v as [string, string])[0], (v as [string, string])[1]);
    case "bytes":
      return new Uint8Array(Buffer.from(v as string, "base64"));
    case "error":
      return reviveError(tree);
    case "send":
      return new Send(tree.node as string, decode(v));
    case "delta":
      return new DeltaSnapshot(decode(v));
    case "object":
      return reviveEntries(v as [string, unknown][]);
    case "lc":
      return isKnown(tree.c as string) ? make(tree.c as string, decode(v) as Tree) : tree;
    default:
      return tree;
  }
}

function reviveEntries(entries: [string, unknown][]): Tree {
  const plain: Tree = {};
  // defineProperty, for the sake of a key named __proto__.
  for (const [key, value] of entries) {
    Object.defineProperty(plain, key, {
      value: decode(value),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return plain;
}

function reviveError({ name, message, stack, cause }: Tree): Error {
  const Class = errorClasses[name as string] ?? Error;
  const error = new Class(message as string, cause === undefined ? undefined : { cause: decode(cause) });
  if (error.name !== name)
    Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
  return error;
}
