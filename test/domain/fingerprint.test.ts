import { describe, expect, it } from "vitest";
import { fingerprintOf, folded } from "../../src/domain/fingerprint.ts";

const at = (frames: string[]): string => ["Error: x", ...frames.map((frame) => `    at ${frame}`)].join("\n");
const ofGraph = (message: string, frames: string[] = []) =>
  fingerprintOf({ code: "type_error", name: "TypeError", message, stack: at(frames) });

describe("the fingerprint of a dead run", () => {
  it.each([
    [
      "ids",
      "order 8d0f3c1e-7b7a-4a55-9f0e-2f4f1d9d1a10 is gone",
      "order 11111111-2222-4333-8444-555555555555 is gone",
    ],
    ["numbers", "row 17 has 3.5 of 10 columns", "row 4711 has 2 of 12 columns"],
    ["quoted values", `no customer "Ann's" here`, `no customer "Bob" here`],
    ["values in single quotes", "can't read 'total' of it", "can't read 'a sum' of it"],
    ["paths", "cannot open /var/data/in/a.pdf now", "cannot open /srv/b.pdf now"],
    ["URLs", "POST https://api.example.org/v1/x?k=1 failed", "POST http://localhost:8080/y failed"],
    ["hex", "digest 9f86d081884c7d65 differs", "digest 2c26b46b68ffc68f differs"],
    ["request ids of providers", "overloaded (req_8fK2x91aQ)", "overloaded (req_0aB3c44dE)"],
    ["line breaks", "a\n  b", "a b"],
  ])("is the same whatever %s a message has", (_, one, other) => {
    expect(folded(one)).toBe(folded(other));
    expect(ofGraph(one)).toBe(ofGraph(other));
    expect(ofGraph(one)).toMatch(/^[0-9a-f]{16}$/);
  });

  it("keeps the words that tell causes apart", () => {
    expect(folded("The deed facade was added")).toBe("The deed facade was added");
    expect(folded("read/write of and/or")).toBe("read/write of and/or");
    expect(ofGraph("no such customer")).not.toBe(ofGraph("no such invoice"));
  });

  it("tells places apart that throw the same words, and survives new lines and another folder", () => {
    const pay = ofGraph("undefined", ["pay (/srv/a/graph.ts:10:3)", "run (/srv/a/node_modules/x/y.js:1:1)"]);
    const moved = ofGraph("undefined", [
      "pay (file:///opt/b/graph.ts?v=2:99:1)",
      "q (/opt/b/node_modules/x/z.js:2:2)",
    ]);
    const file = ofGraph("undefined", ["file (/srv/a/graph.ts:10:3)"]);
    expect(pay).toBe(moved);
    expect(pay).not.toBe(file);
  });

  it("does not ask where a fault came up that lies outside of the graph", () => {
    const quota = (frame: string) =>
      fingerprintOf({
        code: "quota_exceeded",
        name: "Error",
        message: "429 no credit left",
        stack: at([frame]),
      });
    expect(quota("one (/a/one.ts:1:1)")).toBe(quota("two (/a/two.ts:2:2)"));
  });

  it("takes a message of any form in no time", () => {
    const began = performance.now();
    for (const text of [
      "'".repeat(4_000),
      "/a".repeat(2_000),
      "1".repeat(4_000),
      '"a'.repeat(2_000),
      "a_".repeat(2_000),
    ])
      folded(text);
    expect(performance.now() - began).toBeLessThan(500);
  });
});
