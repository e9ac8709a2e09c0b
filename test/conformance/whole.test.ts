import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { recordBoth } from "./both-servers.ts";
import { compare, type Difference, shown } from "./compare.ts";
import { explain, known } from "./differences.ts";
import type { Recording } from "./record.ts";
import { caller, whole } from "./scripts/whole.ts";

const project = path.resolve(import.meta.dirname, "whole/langgraph.json");

/** Differences of the list, by their ids, at the places where they show here. */
const listed: Record<string, RegExp> = {
  "wait-at-a-question": /: a question in a subgraph \/seen$/,
  "checkpoint-metadata": /\/metadata\/(user_id|owner)$/,
  "thread-fields": /: its middleware around our route \/body\/(values|interrupts)$/,
  "not-found": /: (not run by him \/error\/text|not deleted by a reader \/body)$/,
};
/** What a node's own run is called, which ours says where nobody listens to it: docs/compatibility.md. */
const runName = /: components (pushed|kept) \/.*\/metadata\/name$/;
const isListed = (one: Difference): boolean =>
  explain(one) !== undefined ||
  [...Object.values(listed), runName].some((place) => place.test(`${one.step} ${one.path}`));

let recordings: { dev: Recording; ours: Recording };
beforeAll(async () => {
  recordings = await recordBoth(project, { whole }, caller);
}, 300_000);

describe("a project with graphs, routes, auth and components of its own", () => {
  it("runs on both servers from the same langgraph.json, with the same answers", () => {
    const differences = compare({ dev: recordings.dev.entries, ours: recordings.ours.entries });
    expect(differences.filter((one) => !isListed(one)).map(shown)).toEqual([]);
    expect(known.map(({ id }) => id)).toEqual(expect.arrayContaining(Object.keys(listed)));
  });

  it.each(["dev", "ours"] as const)("is refused by %s what its auth refuses, and nothing else", (side) => {
    const failed = recordings[side].entries.filter(({ answer }) => (answer as { error?: object }).error);
    expect(failed.map(({ step }) => step)).toEqual(["whole: hidden from him", "whole: not run by him"]);
  });
});
