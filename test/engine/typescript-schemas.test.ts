import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TypescriptSchemas } from "../../src/engine/typescript-schemas.ts";
import { openLog } from "../../src/observe/log.ts";
import { openTestApp } from "../support/http.ts";

const log = openLog("silent");
/** Long enough for the slowest machine. */
const patient = { secondsMax: 600 };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-schemas-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A project whose reader of sources is this code; each look adds a line to the file `looks`. */
async function projectWith(code: string): Promise<{ source: () => { file: string; exportName: string } }> {
  const place = path.join(folder, "node_modules/@langchain/langgraph-api");
  await mkdir(place, { recursive: true });
  const exports = { "./schema": { types: "./schema.d.mts", default: "./schema.mjs" } };
  const name = "@langchain/langgraph-api";
  await writeFile(path.join(place, "package.json"), JSON.stringify({ name, version: "1.5.1", exports }));
  const looks = JSON.stringify(path.join(folder, "looks"));
  const text = `import { appendFileSync } from "node:fs";
export async function getStaticGraphSchema({ sourceFile, exportSymbol }) {
  appendFileSync(${looks}, "look\\n");
  ${code}
}`;
  await writeFile(path.join(place, "schema.mjs"), text);
  const file = path.join(folder, "graph.ts");
  await writeFile(file, "");
  return { source: () => ({ file, exportName: "agent" }) };
}
const looks = async (): Promise<number> =>
  (await readFile(path.join(folder, "looks"), "utf8")).trim().split("\n").length;

const told = `console.log("a warning of the compiler");
  const state = { type: "object", title: exportSymbol + " of " + sourceFile.split("/").at(-1), environment: Object.keys(process.env) };
  return { [exportSymbol]: { state, input: state, output: state }, [exportSymbol + "|child|deep"]: { state: { type: "string" } } };`;

describe("schemas from TypeScript", () => {
  it("are those of the graph and its subgraphs, read once, by a process that knows no secrets", async () => {
    const schemas = new TypescriptSchemas({ registry: await projectWith(told), log }, patient);
    const [first, second] = await Promise.all([schemas.of("g"), schemas.of("g")]);
    expect(second).toBe(first);
    expect(Object.keys(first ?? {})).toEqual(["", "child|deep"]);
    expect(first?.[""]).toMatchObject({ state: { title: "agent of graph.ts" }, config: null });
    const { environment } = (first?.[""]?.state ?? {}) as { environment?: string[] };
    expect(environment?.filter((name) => !name.startsWith("__"))).toEqual([]);
    expect(await looks()).toBe(1);
  });

  it.each([
    ["fails", "throw new Error('no such export');"],
    ["ends the process", "process.exit(3);"],
    ["gives something else", "return { agent: 7 };"],
    ["never ends", "await new Promise(() => setInterval(() => {}, 1000));"],
  ])("are left out, and not looked for again, where their reader %s", async (_, code) => {
    const secondsMax = code.includes("setInterval") ? 2 : patient.secondsMax;
    const schemas = new TypescriptSchemas({ registry: await projectWith(code), log }, { secondsMax });
    expect(await schemas.of("g")).toEqual({});
    expect(await schemas.of("g")).toEqual({});
  });

  it("do not keep a process from ending while they are read", async () => {
    const { source } = await projectWith("await new Promise(() => setInterval(() => {}, 1000));");
    const module = new URL("../../src/engine/typescript-schemas.ts", import.meta.url).href;
    const code = `const { TypescriptSchemas } = await import(${JSON.stringify(module)});
      const registry = { source: () => (${JSON.stringify(source())}) };
      void new TypescriptSchemas({ registry, log: console }, { secondsMax: 600 }).of("g");
      setTimeout(() => console.log("done"), 100);`;
    const flags = ["--import", import.meta.resolve("tsx"), "--input-type=module", "--eval", code];
    expect((await promisify(execFile)(process.execPath, flags)).stdout).toBe("done\n");
  });

  it("are left out where the project has no reader, and where none is wanted", async () => {
    const file = path.join(folder, "graph.ts");
    const source = () => ({ file, exportName: "agent" });
    expect(await new TypescriptSchemas({ registry: { source }, log }, patient).of("g")).toEqual({});
    const registry = await projectWith(told);
    expect(await new TypescriptSchemas({ registry, log }, { secondsMax: 0 }).of("g")).toEqual({});
  });

  it("are read from a graph's own source by the reader of the dev server", async () => {
    const file = path.resolve(import.meta.dirname, "../graphs/http/graphs.ts");
    const source = () => ({ file, exportName: "nested" });
    const schemas = await new TypescriptSchemas({ registry: { source }, log }, patient).of("nested");
    const properties = { seen: { type: "array", items: { type: "string" } } };
    expect(schemas[""]).toMatchObject({ state: { type: "object", properties }, input: { properties } });
    expect(schemas.outer).toMatchObject({ state: { type: "object", properties } });
  }, 600_000);

  it("are shown over HTTP where the graph itself says nothing", async () => {
    const t = await openTestApp({ schemaSecondsMax: patient.secondsMax });
    const { source } = await projectWith(told);
    t.registry.source = source;
    const { json } = await t.send("GET", "/assistants/nested/schemas");
    expect(json).toMatchObject({
      graph_id: "nested",
      state_schema: { title: "agent of graph.ts" },
      config_schema: null,
    });
    await t.close();
  });
});
