import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutText, type Manifest, manifestOf, type Part, partsBeyond } from "../../src/domain/parts.ts";

/** What holdfast.whole() does. */
function wholeOf(manifest: string, stored: ReadonlyMap<string, string>): string {
  const [, bytes, sections = "", tail = ""] = /^#(\d+) (\S*) (.*)$/s.exec(manifest) ?? [];
  const joined = (hashes: string[], separator: string): string =>
    hashes.map((hash) => stored.get(hash) ?? expect.fail(`no part ${hash}`)).join(separator);
  let hashes: string[] = [];
  for (const section of sections.split(".")) {
    const below = hashes.length === 0 ? [] : joined(hashes, ",").split(",");
    hashes = [...below, ...(section === "" ? [] : section.split(","))];
  }
  const whole = joined(hashes, "") + tail;
  expect(Buffer.byteLength(whole)).toBe(Number(bytes));
  return whole;
}

const put = (stored: Map<string, string>, manifest: Manifest): Part[] => {
  const parts = [...partsBeyond(manifest, (hash) => stored.has(hash))];
  for (const { hash, data } of parts) stored.set(hash, data);
  return parts;
};

const word = fc.oneof(fc.string({ unit: "binary", maxLength: 40 }), fc.constantFrom("question ", "é", "💬"));
/** Long texts of few choices: words, each so many times. */
const long = fc
  .array(fc.tuple(word, fc.integer({ min: 1, max: 400 })), { maxLength: 60 })
  .map((words) => words.map(([text, times]) => text.repeat(times)).join(""));

/** A conversation as it is stored. */
const messages = (count: number, from = 0): string =>
  Array.from(
    { length: count },
    (_, n) => `{"id":"${(n + from) * 7_919}","content":"${`answer ${n + from} `.repeat(40)}"}`,
  ).join(",");

describe("a long text in parts", () => {
  it("comes back as it was", () => {
    fc.assert(
      fc.property(long, (text) => {
        const stored = new Map<string, string>();
        const manifest = manifestOf(cutText(text));
        put(stored, manifest);
        expect(wholeOf(manifest.text, stored)).toBe(text);
      }),
      { numRuns: 60 },
    );
  });

  it("is cut by its content alone, whatever was cut before it", () => {
    fc.assert(
      fc.property(long, fc.nat(), fc.nat(), word, (text, from, length, added) => {
        const at = from % (text.length + 1);
        const changed = text.slice(0, at) + added + text.slice(at + (length % 3_000));
        expect(cutText(changed, cutText(text))).toEqual(cutText(changed));
      }),
      { numRuns: 100 },
    );
  });

  it("cuts no pair of surrogates, and makes no part longer than its limit", () => {
    const text = "x".repeat(255) + "💬".repeat(50_000);
    const { ends } = cutText(text);
    expect(ends.length).toBeGreaterThan(10);
    let start = 0;
    for (const end of ends) {
      expect(text.slice(start, end).isWellFormed()).toBe(true);
      expect(end - start).toBeLessThanOrEqual(4_097);
      start = end;
    }
  });

  it("costs a few parts and a small manifest for what is added to it, however long it is", () => {
    const stored = new Map<string, string>();
    let before = cutText(messages(1_000));
    put(stored, manifestOf(before));
    let [bytes, most] = [0, 0];
    for (let n = 1; n <= 60; n += 1) {
      before = cutText(`${messages(1_000)},${messages(n, 1_000)}`, before);
      const manifest = manifestOf(before);
      const sent = put(stored, manifest).reduce((sum, { data }) => sum + data.length, 0);
      bytes += sent + manifest.text.length;
      most = Math.max(most, manifest.text.length);
      expect(wholeOf(manifest.text, stored)).toBe(before.text);
    }
    // 440 characters are added each time to about half a million.
    expect(bytes / 60).toBeLessThan(5_000);
    expect(most).toBeLessThan(4_097 + 5 * 64 * 21);
  });

  it("makes new parts only near a change in its midst", () => {
    const stored = new Map<string, string>();
    const cut = cutText(messages(1_000));
    put(stored, manifestOf(cut));
    const changed = cut.text.replace("answer 500 ", "ANSWER ");
    expect(put(stored, manifestOf(cutText(changed, cut))).length).toBeLessThan(12);
  });
});
