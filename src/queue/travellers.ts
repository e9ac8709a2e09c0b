import type { Fits } from "../db/lane.ts";

const itemsPerGroupMax = 64;
const bytesPerGroupMax = 1_000_000;
/** A larger item goes alone: others would wait for it, and in an array it costs more. */
export const travellerBytesMax = 250_000;

/** Two of one thread never travel together; `bytes` is about what one weighs. */
interface Traveller {
  threadId: string;
  bytes: number;
}

export function roomForTravellers(): Fits<Traveller> {
  const threads = new Set<string>();
  let bytes = 0;
  return (item) => {
    const full =
      threads.size >= itemsPerGroupMax || (threads.size > 0 && bytes + item.bytes > bytesPerGroupMax);
    if (full || threads.has(item.threadId)) return false;
    threads.add(item.threadId);
    bytes += item.bytes;
    return true;
  };
}
