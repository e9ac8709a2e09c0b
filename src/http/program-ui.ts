// The program's generative UI (`ui` of langgraph.json): components that a page loads from here to show what a graph pushed.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { ImportModule } from "../engine/exported.ts";
import { type Project, ProjectError } from "../engine/project.ts";

const bundler = "@langchain/langgraph-ui";
/** What npm calls the latest one is older than this. */
const bundlerVersion = "1.5.1";

/** The files of each agent's components, by name. */
export type ProgramUi = ReadonlyMap<string, ReadonlyMap<string, Buffer>>;

type Build = (asked: {
  cwd: string;
  defs: Record<string, string>;
  config: { shared?: string[] | undefined };
  output: string;
}) => Promise<void>;

/** Bundles them once. Throws ProjectError naming the agent whose components do not build. */
export async function loadProgramUi(project: Project, importModule: ImportModule): Promise<ProgramUi> {
  const agents = Object.entries(project.ui);
  const found = new Map<string, ReadonlyMap<string, Buffer>>();
  if (agents.length === 0) return found;
  const build = await bundlerOf(project, importModule);
  for (const [agent, file] of agents) {
    const output = await mkdtemp(path.join(tmpdir(), "holdfast-ui-"));
    try {
      await build({ cwd: project.folder, defs: { [agent]: file }, config: project.ui_config, output });
      found.set(agent, await filesIn(path.join(output, "public", agent)));
    } catch (cause) {
      throw new ProjectError(`${project.file}: ui.${agent}: ${file}: ${(cause as Error).message}`, { cause });
    } finally {
      await rm(output, { recursive: true, force: true });
    }
  }
  return found;
}

/** The project's own copy, or whichever there is beside the server. */
async function bundlerOf({ file, folder }: Project, importModule: ImportModule): Promise<Build> {
  for (const from of [pathToFileURL(path.join(folder, "langgraph.json")).href, import.meta.url]) {
    const place = placeOf(from);
    if (place === undefined) continue;
    const { build } = await importModule(pathToFileURL(place).href);
    if (typeof build === "function") return build as Build;
  }
  throw new ProjectError(
    `${file}: ui needs the package ${bundler}: npm install --save-exact ${bundler}@${bundlerVersion}`,
  );
}

function placeOf(from: string): string | undefined {
  try {
    return createRequire(from).resolve(bundler);
  } catch {
    return undefined;
  }
}

async function filesIn(folder: string): Promise<Map<string, Buffer>> {
  const names = await readdir(folder);
  const read = names.map(async (name) => [name, await readFile(path.join(folder, name))] as const);
  return new Map(await Promise.all(read));
}
