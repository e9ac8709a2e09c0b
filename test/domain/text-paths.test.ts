import { describe, expect, it } from "vitest";
import { textsAt } from "../../src/domain/text-paths.ts";

const value = {
  title: "dog",
  n: 3,
  none: null,
  pages: [{ text: "bread" }, { text: "train" }],
  deep: { a: { b: true } },
};

describe("texts at a path", () => {
  it.each([
    ["$", [JSON.stringify(value)]],
    ["title", ["dog"]],
    ["n", ["3"]],
    ["deep.a.b", ["true"]],
    ["deep.a", ['{"b":true}']],
    ["pages[*].text", ["bread", "train"]],
    ["pages[-1].text", ["train"]],
    ["deep.*", ['{"b":true}']],
    ["none", []],
    ["missing.field", []],
    ["pages.text", []],
    ["title.length", []],
    ["constructor", []],
  ])("%s leads to %j", (path, texts) => {
    expect(textsAt(value, path)).toEqual(texts);
  });
});
