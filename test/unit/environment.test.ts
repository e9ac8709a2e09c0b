import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readConfig } from "../../src/config.ts";
import { addProjectEnvironment } from "../../src/environment.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-environment-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What an environment has after the project's was added, without the name of the project's file. */
async function environmentAfter(project: unknown, before: Record<string, string> = {}) {
  const LANGGRAPH_JSON = path.join(folder, "langgraph.json");
  await writeFile(LANGGRAPH_JSON, JSON.stringify(project));
  const environment: Record<string, string | undefined> = { ...before, LANGGRAPH_JSON };
  const notes = await addProjectEnvironment(environment);
  delete environment.LANGGRAPH_JSON;
  return { environment, notes };
}

describe("env of langgraph.json", () => {
  it("adds its variables, as text, and what is set already wins, also when it is empty", async () => {
    const env = { A: "project", B: "project", PORT: 8123, FLAG: true };
    const { environment } = await environmentAfter({ graphs: {}, env }, { A: "process", B: "" });
    expect(environment).toEqual({ A: "process", B: "", PORT: "8123", FLAG: "true" });
  });

  it("may name a file, looked for beside langgraph.json", async () => {
    await writeFile(path.join(folder, ".env"), '# keys\nA=project\nQUOTED="two words" # said\nexport C=3\n');
    const { environment, notes } = await environmentAfter({ graphs: {}, env: ".env" }, { A: "process" });
    expect(environment).toEqual({ A: "process", QUOTED: "two words", C: "3" });
    expect(notes).toEqual([]);
  });

  it("is missed with a note when its file is not there, as in an image", async () => {
    const { environment, notes } = await environmentAfter({ graphs: {}, env: ".env" }, { A: "process" });
    expect(environment).toEqual({ A: "process" });
    expect(notes[0]).toContain("names .env as env, but there is no such file");
  });

  it("is refused when its file cannot be read", async () => {
    await expect(environmentAfter({ graphs: {}, env: "." })).rejects.toThrow(/env: \. cannot be read/);
  });

  it("adds nothing where there is no project file, or it says nothing", async () => {
    const environment = { LANGGRAPH_JSON: path.join(folder, "nowhere.json") };
    expect(await addProjectEnvironment(environment)).toEqual([]);
    expect(Object.keys(environment)).toEqual(["LANGGRAPH_JSON"]);
    expect((await environmentAfter({ graphs: {} })).environment).toEqual({});
    expect((await environmentAfter({ graphs: {}, env: "" })).environment).toEqual({});
  });
});

describe("LANGGRAPH_CONFIG", () => {
  it("is parsed, and refused with its name when it is not right", () => {
    const told = { agent: { configurable: { tone: "dry" }, context: { user: "u" }, recursion_limit: 50 } };
    expect(readConfig({ LANGGRAPH_CONFIG: JSON.stringify(told) }).LANGGRAPH_CONFIG).toEqual(told);
    for (const wrong of ["{", "[]", '{"agent": 7}', '{"agent": {"context": 7}}']) {
      expect(() => readConfig({ LANGGRAPH_CONFIG: wrong }), wrong).toThrow(/LANGGRAPH_CONFIG/);
    }
  });
});
