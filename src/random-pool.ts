import { randomFillSync, type webcrypto } from "node:crypto";

const poolBytes = 8_192;
/** What ids ask for. */
const pooledBytesMax = 64;

/**
 * Gives out small random values from a pool that is filled at once, as `randomUUID` of Node does: each call of Node's own
 * `getRandomValues` starts a job, and LangChain makes an id for every node and every edge (docs/decisions/0033). Each byte is given once.
 */
export function poolRandomValues(crypto: webcrypto.Crypto): void {
  const pool = new Uint8Array(poolBytes);
  let taken = poolBytes;
  const unpooled = crypto.getRandomValues.bind(crypto);
  const getRandomValues: webcrypto.Crypto["getRandomValues"] = (array) => {
    if (!(array instanceof Uint8Array) || array.byteLength > pooledBytesMax) return unpooled(array);
    if (taken + array.byteLength > poolBytes) {
      randomFillSync(pool);
      taken = 0;
    }
    const end = taken + array.byteLength;
    array.set(pool.subarray(taken, end));
    pool.fill(0, taken, end);
    taken = end;
    return array;
  };
  Object.defineProperty(crypto, "getRandomValues", {
    value: getRandomValues,
    configurable: true,
    writable: true,
  });
}
