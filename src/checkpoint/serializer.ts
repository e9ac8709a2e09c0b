import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { ownType } from "../db/queries/parts.ts";
import { UnstorableValue } from "../domain/errors.ts";
import { decode } from "./decode.ts";
import { encode, valueBytesMax } from "./encode.ts";
import { decodeStock } from "./stock-format.ts";

/** In UTF-8, of one UTF-16 code unit. */
const bytesPerCharMax = 3;

/** A value in our own form. Throws UnstorableValue. */
export function dumpText(value: unknown): string {
  const text = JSON.stringify(encode(value));
  if (text.length * bytesPerCharMax <= valueBytesMax) return text;
  const bytes = Buffer.byteLength(text, "utf8");
  if (bytes > valueBytesMax)
    throw new UnstorableValue("$", `${bytes} bytes, more than the ${valueBytesMax} a value may have`);
  return text;
}

/**
 * Writes our own form; `json` and `bytes` are the stock saver's, which we can read.
 * What goes in comes out equal, or is refused with its path: Date, BigInt, NaN, undefined, Map, Set, Error, bytes,
 * LangChain messages and documents are kept; functions, cycles and unknown classes are not.
 */
export const strictSerializer: SerializerProtocol = {
  async dumpsTyped(value: unknown): Promise<[string, Uint8Array]> {
    return [ownType, Buffer.from(dumpText(value), "utf8")];
  },
  async loadsTyped(type: string, data: Uint8Array | string): Promise<unknown> {
    if (type === "bytes") return typeof data === "string" ? Buffer.from(data, "utf8") : data;
    const text =
      typeof data === "string"
        ? data
        : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8");
    if (type === ownType) return decode(JSON.parse(text));
    if (type === "json") return decodeStock(JSON.parse(text));
    throw new Error(`unknown serialization type ${type}`);
  },
};
