import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { readConfig } from "../../src/config.ts";
import { openMetrics } from "../../src/observe/metrics.ts";

const repository = path.resolve(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(path.join(repository, file), "utf8");

/** The rows of the table below a heading of docs/operations.md, as cells without their backticks. */
function tableBelow(heading: string): string[][] {
  const section =
    read("docs/operations.md")
      .split(/^## /m)
      .find((text) => text.startsWith(`${heading}\n`)) ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", "")),
    );
}

/** Names of settings, as config.ts has them at the start of a line of its schema. */
const settings = [...read("src/config.ts").matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)].map(([, name]) =>
  String(name),
);

describe("docs/operations.md", () => {
  const rows = tableBelow("Settings");

  it("lists every setting of config.ts, and no other", () => {
    expect(settings.length).toBeGreaterThan(20);
    expect(rows.map(([name]) => name).sort()).toEqual([...settings].sort());
  });

  it("gives the defaults that the program has", () => {
    const config = readConfig({}) as Record<string, unknown>;
    for (const [name = "", told] of rows) {
      // Made of this machine's name and process.
      if (name === "WORKER_ID") continue;
      expect(told, name).toBe(name in config ? String(config[name]) : "none");
    }
  });

  it("explains every metric, and no other", () => {
    const metrics = openMetrics().registries.flatMap((registry) => registry.getMetricsAsArray());
    expect(
      tableBelow("Metrics")
        .map(([name]) => name)
        .sort(),
    ).toEqual(metrics.map(({ name }) => name).sort());
  });
});
