import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { UnstorableValue } from "../domain/errors.ts";
import { decode } from "./decode.ts";
import { encode, valueBytesMax } from "./encode.ts";
import { decodeStock } from "./stock-format.ts";

/** Our own form; `json` and `bytes` are the stock saver's, which we can read. */
const ownType = "holdfast";

/**
 * What goes in comes out equal, or is refused with its path: Date, BigInt, NaN, undefined, Map, Set, Error, bytes,
 * LangChain messages and documents are kept; functions, cycles and unknown classes are not.
 */
export const strictSerializer: SerializerProtocol = {
  async dumpsTyped(value: unknown): Promise<[string, Uint8Array]> {
    const bytes = Buffer.from(JSON.stringify(encode(value)), "utf8");
    if (bytes.byteLength > valueBytesMax) {
      throw new UnstorableValue(
        "$",
        `${bytes.byteLength} bytes, more than the ${valueBytesMax} a value may have`,
      );
    }
    return [ownType, bytes];
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
