import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemorySaver } from "@langchain/langgraph";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { graph as compiled } from "../../graphs/document-batch/graph.ts";
import { makeContracts } from "../../scripts/make-contracts.ts";
import { classify } from "../../src/domain/classify.ts";
import { type StandIn, standInModel, startStandIn } from "../../src/models/stand-in/server.ts";
import { documentBytesMax } from "../../src/nodes/document-folder.ts";

let standIn: StandIn;
let root: string;
const contracts = makeContracts(30, 1);

beforeAll(async () => {
  standIn = await startStandIn();
  root = await mkdtemp(join(tmpdir(), "holdfast-documents-"));
  await mkdir(join(root, "inbox"));
  for (const { name, text } of contracts) await writeFile(join(root, "inbox", name), text);
  await writeFile(join(root, "inbox", "labels.json"), "{}");
  Object.assign(process.env, {
    OPENAI_BASE_URL: standIn.url,
    OPENAI_API_KEY: standIn.apiKey,
    MODEL: standInModel,
    DOCUMENTS_DIR: root,
  });
});
afterAll(async () => {
  await standIn.stop();
  await rm(root, { recursive: true });
});

function setup() {
  const graph = Object.assign(Object.create(Object.getPrototypeOf(compiled)), compiled, {
    checkpointer: new MemorySaver(),
  }) as typeof compiled;
  const config = { configurable: { thread_id: "t" } };
  return {
    run: (input: object, more: object = {}) => graph.invoke(input as never, { ...config, ...more }),
    async completed(): Promise<number[]> {
      const seen: number[] = [];
      for await (const { values } of graph.getStateHistory(config)) {
        if (values.status !== undefined) seen.push(values.completed);
      }
      return seen.reverse();
    },
  };
}

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => classify(error),
  );

describe("a batch", () => {
  it("reads a folder's text files in order, one a step", async () => {
    const batch = setup();
    const end = await batch.run({ folder: "inbox" });
    expect(end).toMatchObject({ status: "done", completed: 30, total: 30 });
    expect(end.results.map(({ source_id }: { source_id: string }) => source_id)).toEqual(
      contracts.map(({ name }) => name),
    );
    expect(end.results.every(({ fields }: { fields: number }) => fields >= 4)).toBe(true);
    const steps = (await batch.completed()).filter((count) => count > 0);
    expect(steps).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
  });

  it("reads documents given inline", async () => {
    const documents = contracts.slice(0, 3).map(({ name, text }) => ({ source_id: name, text }));
    expect(await setup().run({ documents })).toMatchObject({ status: "done", completed: 3, total: 3 });
  });

  it("goes on from the next document after a step that failed", async () => {
    const documents = contracts.slice(0, 3).map(({ name, text }) => ({ source_id: name, text }));
    const batch = setup();
    const before = (await (await fetch(standIn.controlUrl)).json()) as { requests: number };
    await batch.run({ documents }, { interruptAfter: ["plan"] });
    await batch.run(null as never, { interruptAfter: ["read"] });
    await (
      await fetch(standIn.controlUrl, { method: "POST", body: JSON.stringify({ next: ["500"] }) })
    ).text();
    expect(await failureOf(batch.run(null as never))).toMatchObject({ name: "Transient" });
    expect(await batch.run(null as never)).toMatchObject({ status: "done", completed: 3 });
    const after = (await (await fetch(standIn.controlUrl)).json()) as { requests: number };
    expect(after.requests - before.requests).toBe(4);
  });

  it("is done at once when there is nothing to read", async () => {
    expect(await setup().run({ documents: [] })).toMatchObject({ status: "done", completed: 0, total: 0 });
  });

  it("notes a document that cannot be read and goes on", async () => {
    await mkdir(join(root, "odd"));
    await writeFile(join(root, "odd", "a.txt"), "x".repeat(documentBytesMax + 1));
    await writeFile(join(root, "odd", "b.txt"), contracts[0]?.text ?? "");
    const end = await setup().run({ folder: "odd" });
    expect(end).toMatchObject({
      status: "done",
      completed: 2,
      results: [{ source_id: "a.txt", fields: 0, findings: 1 }, { source_id: "b.txt" }],
    });
  });

  it.each([
    ["a folder outside", { folder: ".." }, "document_not_allowed"],
    ["a link that leads outside", { folder: "link" }, "document_not_allowed"],
    ["a folder that is not there", { folder: "nowhere" }, "document_not_found"],
    ["a folder and documents", { folder: "inbox", documents: [] }, "invalid_input"],
    ["nothing", {}, "invalid_input"],
    [
      "too many documents",
      { documents: Array.from({ length: 1_001 }, () => ({ source_id: "a", text: "" })) },
      "invalid_input",
    ],
  ])("refuses %s", async (_, input, code) => {
    if ("folder" in input && input.folder === "link") await symlink(tmpdir(), join(root, "link"));
    expect(await failureOf(setup().run({ ...input }))).toMatchObject({ name: "Fatal", code });
  });
});
