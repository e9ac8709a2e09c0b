import { describe, expect, it } from "vitest";
import { accessFilter, accessFilterKeysMax, passes } from "../../src/domain/access.ts";

describe("the filter of an auth handler", () => {
  it.each([
    [{ owner: "a" }, { owner: "a" }, true],
    [{ owner: "a" }, { owner: "b" }, false],
    [{ owner: "a" }, {}, false],
    [{ owner: { $eq: "" } }, { owner: "b" }, false],
    [{ owner: { $eq: 0 } }, { owner: 0 }, true],
    [{ owner: null }, {}, false],
    [{ team: { $contains: "x" } }, { team: ["x", "y"] }, true],
    [{ team: { $contains: "x" } }, { team: "x" }, false],
    [{ team: { $contains: ["x", "z"] } }, { team: ["x", "y"] }, false],
    [{ team: { $contains: [] } }, { team: [] }, true],
    [{ team: "x" }, { team: ["x"] }, false],
    [{ a: 1, b: true }, { a: 1, b: false }, false],
    [{ toString: "a" }, {}, false],
    [{}, { any: 1 }, true],
  ])("%j lets %j pass: %j", (answer, metadata, expected) => {
    expect(passes(metadata, accessFilter(answer))).toBe(expected);
  });

  it.each([
    { owner: undefined },
    { owner: { $eq: undefined } },
    { owner: { $ne: "a" } },
    { owner: { $eq: "a", $contains: "b" } },
    { owner: { $contains: [["x"]] } },
    { owner: { $eq: ["a"] } },
    { owner: {} },
    { owner: Number.NaN },
    ["owner"],
    Object.fromEntries(Array.from({ length: accessFilterKeysMax + 1 }, (_, n) => [`k${n}`, n])),
  ])("lets nobody through when it is not understood: %o", (answer) => {
    expect(() => accessFilter(answer)).toThrow(/filter/);
  });
});
