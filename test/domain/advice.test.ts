import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { adviceFor, isKnownCode } from "../../src/domain/advice.ts";

const repository = path.resolve(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(path.join(repository, file), "utf8");

/** The first cells of the table of codes in docs/operations.md. */
function documentedCodes(): string[] {
  const section =
    read("docs/operations.md")
      .split(/^## /m)
      .find((text) => text.startsWith("Dead letters\n")) ?? "";
  const table = section.slice(section.indexOf("| code |"));
  return table
    .split("\n\n")[0]!
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => [...line.split("|")[1]!.matchAll(/`([a-z_]+)`/g)].map(([, code]) => String(code)));
}

/** Codes given to `Fatal` anywhere in the program, and those that a failed model call leads to. */
function thrownCodes(): string[] {
  const files = readdirSync(path.join(repository, "src"), { recursive: true, encoding: "utf8" });
  const texts = files.filter((file) => file.endsWith(".ts")).map((file) => read(path.join("src", file)));
  const fatal = texts.flatMap((text) =>
    [...text.matchAll(/new Fatal\((?:(?!new )[\s\S]){0,300}?code: "([a-z_]+)"/g)].map(([, code]) =>
      String(code),
    ),
  );
  const model = [...read("src/domain/classify.ts").matchAll(/fatal: "([a-z_]+)"/g)].map(([, code]) =>
    String(code),
  );
  return [...new Set([...fatal, ...model])];
}

describe("the advice for a dead run", () => {
  it("has a sentence for every code that the runbook lists", () => {
    const codes = documentedCodes();
    expect(codes.length).toBeGreaterThan(9);
    expect(codes.filter((code) => !isKnownCode(code))).toEqual([]);
  });

  it("has a sentence for every code that the program gives", () => {
    const codes = thrownCodes();
    expect(codes).toEqual(expect.arrayContaining(["effect_unknown", "quota_exceeded", "recursion_limit"]));
    expect(codes.filter((code) => !isKnownCode(code))).toEqual([]);
  });

  it("is one of its own for each code, and sends graph code's own errors to its author", () => {
    expect(adviceFor("quota_exceeded")).toMatch(/quota is used up.*redrive the group/);
    expect(adviceFor("type_error")).toMatch(/The graph's own code threw this/);
    expect(adviceFor("constructor")).toMatch(/The graph's own code/);
  });
});
