import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fakeModel } from "@langchain/core/testing";
import { END, START, StateGraph } from "@langchain/langgraph";
import { createAgent } from "langchain";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadRegistry } from "../../src/engine/registry.ts";
import { LogState } from "../support/scenario.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-registry-"));
  await writeFile(path.join(folder, "g.ts"), "");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const builder = (log = "work") =>
  new StateGraph(LogState)
    .addNode("work", () => ({ log: [log] }))
    .addEdge(START, "work")
    .addEdge("work", END);

/** Loads a project whose only graph `g` is the export `graph` of a module. */
async function load(exports: Record<string, unknown>, entry: unknown = "./g.ts:graph") {
  const file = path.join(folder, "langgraph.json");
  await writeFile(file, JSON.stringify({ node_version: "20", dependencies: ["."], graphs: { g: entry } }));
  return loadRegistry(file, async () => exports);
}
const logOf = async (exported: unknown, config: Record<string, unknown> = {}) => {
  const registry = await load({ graph: exported });
  return (await (await registry.open("g", config)).invoke({ log: [] })).log;
};

describe("an export of langgraph.json", () => {
  it.each([
    ["a graph", () => builder().compile()],
    ["a builder", () => builder()],
    ["a promise of a graph", () => Promise.resolve(builder().compile())],
    ["a promise of a builder", () => Promise.resolve(builder())],
    ["a function that returns a graph", () => () => builder().compile()],
    ["a function that returns a builder", () => () => builder()],
    ["a function that returns a promise of a graph", () => async () => builder().compile()],
    ["a promise of a function", () => Promise.resolve(() => builder())],
  ])("may be %s", async (_, make) => {
    expect(await logOf(make())).toEqual(["work"]);
  });

  it("may be an agent of createAgent, which wraps its graph", async () => {
    const registry = await load({ graph: createAgent({ model: fakeModel().respond(() => "hi" as never) }) });
    expect(Object.keys((await registry.open("g", {})).nodes)).toContain("model_request");
  });

  it("is called with the run's config when it is a function, anew for each run", async () => {
    const told = { configurable: { tone: "dry" } };
    const registry = await load({
      graph: ({ configurable }: { configurable: { tone: string } }) => builder(configurable.tone),
    });
    const dry = await registry.open("g", told);
    const wet = await registry.open("g", { configurable: { tone: "wet" } });
    expect([await dry.invoke({ log: [] }), await wet.invoke({ log: [] })]).toEqual([
      { log: ["dry"] },
      { log: ["wet"] },
    ]);
  });

  it("may be named with a description beside it", async () => {
    const registry = await load({ graph: builder() }, { path: "./g.ts:graph", description: "does it" });
    expect(registry.graphIds).toEqual(["g"]);
  });

  it("may come from a CommonJS module, which arrives as default", async () => {
    const registry = await load({ default: { graph: builder() }, "module.exports": {} });
    expect(registry.has("g")).toBe(true);
  });

  it.each([
    ["a number", () => 7, /g\.ts exports graph, and "graph" is a number; "graph" must be a graph/],
    ["null", () => null, /"graph" is null/],
    ["a promise of a plain object", () => Promise.resolve({}), /"graph" is a plain object/],
    ["something else's class", () => new Map(), /"graph" is an instance of Map/],
    [
      "a promise that fails",
      () => Promise.reject(new Error("no key")),
      /graph g: \.\/g\.ts failed to load: no key/,
    ],
  ])("is refused at start when it is %s", async (_, make, message) => {
    const exports = {
      get graph() {
        return make();
      },
    };
    await expect(load(exports)).rejects.toThrow(message);
  });

  it("is refused with the names that the module has, when it has another", async () => {
    await expect(load({ agent: builder(), other: 1 })).rejects.toThrow(
      /langgraph\.json: graph g: \.\/g\.ts exports agent, other; "graph" must be/,
    );
  });

  it("is refused at start when it is a builder that does not compile", async () => {
    const broken = new StateGraph(LogState).addNode("alone", () => ({ log: [] }));
    await expect(load({ graph: broken })).rejects.toThrow(
      /graph g: .*"graph" must be a graph that compiles: /,
    );
  });

  it("says what a function gave that is no graph, when a run opens it", async () => {
    const registry = await load({ graph: () => ({ not: "a graph" }) });
    await expect(registry.open("g", {})).rejects.toThrow(
      "graph g: its function returned a plain object, not a graph",
    );
  });
});

describe("the version of a graph", () => {
  const version = async (): Promise<string> => {
    const registry = await load({ graph: builder() });
    return registry.version("g", await registry.open("g", {}));
  };

  it("changes with a helper in a folder beside it, and not with packages or texts", async () => {
    const before = await version();
    await mkdir(path.join(folder, "lib", "node_modules"), { recursive: true });
    await writeFile(path.join(folder, "lib", "node_modules", "package.js"), "");
    await writeFile(path.join(folder, "lib", "notes.md"), "");
    expect(await version()).toBe(before);
    await writeFile(path.join(folder, "lib", "helper.ts"), "");
    expect(await version()).not.toBe(before);
  });

  it("leaves out what has gone between the listing of its folder and the reading", async () => {
    const before = await version();
    // A name that is no UTF-8 is listed as another one, which nothing can be read by: as if it had gone.
    const gone = (rest: string): Buffer =>
      Buffer.concat([Buffer.from(`${folder}/\xff`, "latin1"), Buffer.from(rest)]);
    await writeFile(gone(".ts"), "");
    await mkdir(gone(""));
    expect(await version()).toBe(before);
  });
});

describe("langgraph.json", () => {
  it.each([
    ["no graphs", {}, /graphs/],
    ["a path that is no text", { graphs: { g: { path: 7 } } }, /graphs/],
    ["a list as env", { graphs: {}, env: ["A"] }, /env/],
  ])("is refused with %s", async (_, project, message) => {
    const file = path.join(folder, "langgraph.json");
    await writeFile(file, JSON.stringify(project));
    await expect(loadRegistry(file, async () => ({}))).rejects.toThrow(message);
  });
});
