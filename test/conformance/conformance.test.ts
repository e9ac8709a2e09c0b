import { readFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { recordBoth } from "./both-servers.ts";
import { compare, type Difference, shown } from "./compare.ts";
import { explain, known } from "./differences.ts";
import { methodsOfClient, type Recording } from "./record.ts";
import { assistants } from "./scripts/assistants.ts";
import { graphs } from "./scripts/graphs.ts";
import { memory } from "./scripts/memory.ts";
import { questions } from "./scripts/questions.ts";
import { runs } from "./scripts/runs.ts";
import { streams } from "./scripts/streams.ts";
import { threads } from "./scripts/threads.ts";

const project = path.resolve(import.meta.dirname, "project/langgraph.json");
const scripts = { assistants, threads, runs, streams, questions, graphs, memory };

/** The protocol of `threads.stream` and the bundles of `~ui` have tests of their own. */
const elsewhere = ["threads.stream", "~ui.getComponent"];

let dev: Recording;
let ours: Recording;
let differences: Difference[];
beforeAll(async () => {
  ({ dev, ours } = await recordBoth(project, scripts));
  differences = compare({ dev: dev.entries, ours: ours.entries });
}, 300_000);

describe("Holdfast beside the official dev server", () => {
  it("answers every call of the SDK alike, but for the differences that are listed", () => {
    expect(differences.filter((one) => explain(one) === undefined).map(shown)).toEqual([]);
  });

  it("still shows every difference that is listed", () => {
    const seen = new Set(differences.map((one) => explain(one)?.id));
    expect(known.map(({ id }) => id).filter((id) => !seen.has(id))).toEqual([]);
  });

  it("was asked by every public method of the SDK's client", () => {
    expect([...dev.called, ...elsewhere].sort()).toEqual(methodsOfClient().sort());
    expect(ours.called).toEqual(dev.called);
  });

  it("was asked the same by the same script", () => {
    const steps = ({ entries }: Recording): string[] => entries.map(({ step }) => step).sort();
    expect(steps(ours)).toEqual(steps(dev));
    expect(new Set(steps(dev)).size).toBe(dev.entries.length);
  });

  it("lists in docs/compatibility.md the differences that are known here", async () => {
    const text = await readFile(path.resolve(import.meta.dirname, "../../docs/compatibility.md"), "utf8");
    const section = text.split("\n## ").find((part) => part.startsWith("Measured call by call")) ?? "";
    const rows = section
      .split("\n")
      .flatMap((line) => /^\| `([\w-]+)` \| (.+) \| (.+) \|$/.exec(line)?.slice(1) ?? []);
    expect(rows).toEqual(known.flatMap(({ id, what, why }) => [id, what, why]));
  });
});
