import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { isTerminal, nextStatuses, runStatuses } from "../../src/domain/run.ts";

const document = readFileSync(path.resolve(import.meta.dirname, "../../docs/architecture.md"), "utf8");
const outside = "[*]";

/** The arrows of the picture, as pairs. */
function drawnMoves(): [string, string][] {
  const picture = /```mermaid\nstateDiagram-v2\n([\s\S]*?)```/.exec(document)?.[1] ?? "";
  return picture
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, from, to] = /^\s*(\S+) --> ([^\s:]+)/.exec(line) ?? [];
      if (from === undefined || to === undefined) throw new Error(`not an arrow: ${line}`);
      return [from, to];
    });
}

describe("the picture of a run's states", () => {
  const moves = drawnMoves();

  it("has the moves of nextStatuses, and no others", () => {
    const drawn = moves.filter(([from, to]) => from !== outside && to !== outside);
    const allowed = runStatuses.flatMap((from) => nextStatuses[from].map((to) => [from, to]));
    expect(drawn.map(String).sort()).toEqual(allowed.map(String).sort());
  });

  it("ends where a run ends", () => {
    const ends = moves.filter(([, to]) => to === outside).map(([from]) => from);
    expect(ends.sort()).toEqual(runStatuses.filter(isTerminal).sort());
  });

  it("begins with the statuses that a new run can have", () => {
    const begins = moves.filter(([from]) => from === outside).map(([, to]) => to);
    expect(begins.sort()).toEqual(["blocked", "queued"]);
  });
});
