import { DeltaSnapshot } from "@langchain/langgraph-checkpoint";
import { make } from "./known-classes.ts";

type Tree = Record<string, unknown>;

/**
 * Reads what LangGraph's own serializer wrote. Unlike it, an `lc` record of an unknown class stays plain data
 * instead of making the whole thread unreadable.
 */
export function decodeStock(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(decodeStock);
  if (json === null || typeof json !== "object") return json;
  const plain: Tree = {};
  for (const [key, value] of Object.entries(json)) {
    Object.defineProperty(plain, key, {
      value: decodeStock(value),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  if (plain.lc === 2) return reviveBuiltin(plain);
  if (plain.lc === 1 && plain.type === "constructor" && Array.isArray(plain.id)) return reviveMessage(plain);
  return plain;
}

function reviveBuiltin(record: Tree): unknown {
  if (record.type === "undefined") return undefined;
  if (record.type === "delta_snapshot") return new DeltaSnapshot(record.value);
  const [first, second] = (record.args ?? []) as unknown[];
  const name = Array.isArray(record.id) && record.id.length === 1 ? record.id[0] : undefined;
  if (name === "Set" && Array.isArray(first)) return new Set(first);
  if (name === "Map" && Array.isArray(first)) return new Map(first as [unknown, unknown][]);
  if (name === "Uint8Array" && Array.isArray(first)) return Uint8Array.from(first as number[]);
  if (name === "Error" && typeof first === "string") return new Error(first);
  if (name === "RegExp" && typeof first === "string") return regExp(first, second, record);
  return record;
}

function regExp(source: string, flags: unknown, record: Tree): unknown {
  try {
    return new RegExp(source, typeof flags === "string" ? flags : "");
  } catch {
    // Not a pattern of this engine: keep the record as the data it is.
    return record;
  }
}

function reviveMessage(record: Tree): unknown {
  const id = record.id as unknown[];
  const name = id.at(-1);
  if (id[0] !== "langchain_core" || typeof name !== "string") return record;
  const fields = { ...(record.kwargs as Tree | undefined) };
  if ("page_content" in fields) fields.pageContent = fields.page_content;
  return make(name, fields) ?? record;
}
