import { webcrypto } from "node:crypto";
import { describe, expect, it } from "vitest";
import { poolRandomValues } from "../../src/random-pool.ts";

/** One of its own, so that other tests keep Node's. `jobs` counts what the pool left to it. */
function pooled() {
  let jobs = 0;
  const crypto = {
    getRandomValues: (array: Uint8Array) => {
      jobs += 1;
      return webcrypto.getRandomValues(array);
    },
  } as webcrypto.Crypto;
  poolRandomValues(crypto);
  return { crypto, jobs: () => jobs };
}

describe("pooled random values", () => {
  it("fill the array that they are given, and never twice the same", () => {
    const { crypto, jobs } = pooled();
    const array = new Uint8Array(16);
    const seen = new Set<string>();
    for (let n = 0; n < 5_000; n += 1) {
      expect(crypto.getRandomValues(array)).toBe(array);
      seen.add(Buffer.from(array).toString("hex"));
    }
    expect(seen.size).toBe(5_000);
    expect(jobs()).toBe(0);
  });

  it("are spread over all bytes, whatever sizes are asked for in turn", () => {
    const { crypto } = pooled();
    const counts = new Array<number>(256).fill(0);
    for (let n = 0; n < 20_000; n += 1) {
      const array = new Uint8Array(1 + (n % 64));
      for (const byte of crypto.getRandomValues(array)) counts[byte] = (counts[byte] ?? 0) + 1;
    }
    // 650,000 bytes: 2,539 of each, and 50 away from that is one standard deviation.
    expect(Math.min(...counts)).toBeGreaterThan(2_100);
    expect(Math.max(...counts)).toBeLessThan(3_000);
  });

  it("write into a part of a buffer and leave the rest of it", () => {
    const { crypto } = pooled();
    const buffer = new Uint8Array(48);
    crypto.getRandomValues(buffer.subarray(16, 32));
    expect([...buffer.subarray(0, 16), ...buffer.subarray(32)]).toEqual(new Array(32).fill(0));
    expect(buffer.some((byte) => byte > 0)).toBe(true);
  });

  it("are left to Node where they are many, or no bytes", () => {
    const { crypto, jobs } = pooled();
    expect(crypto.getRandomValues(new Uint8Array(65)).some((byte) => byte > 0)).toBe(true);
    expect(crypto.getRandomValues(new Uint32Array(16)).some((word) => word > 255)).toBe(true);
    expect(jobs()).toBe(2);
  });

  it("refuse what Node refuses, in its words", () => {
    const { crypto } = pooled();
    expect(() => crypto.getRandomValues(new Uint8Array(65_537))).toThrow(/65,?536/);
    expect(() => crypto.getRandomValues([] as unknown as Uint8Array)).toThrow(/TypedArray/i);
  });
});
