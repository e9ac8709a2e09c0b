import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseEnv } from "node:util";
import { type Project, ProjectError, readProject } from "./engine/project.ts";

type Environment = Record<string, string | undefined>;

/**
 * Adds what `env` of the project file says, variables or the name of a file with them. What is set already wins, also
 * when it is empty, as with LangGraph's own command line. Gives what somebody should know who misses a variable.
 */
export async function addProjectEnvironment(environment: Environment): Promise<string[]> {
  const file = environment.LANGGRAPH_JSON || "langgraph.json";
  const present = await readFile(file).then(
    () => true,
    () => false,
  );
  // Commands that need no graphs work without it; those that do complain by themselves.
  if (!present) return [];
  const { added, notes } = await variablesOf(await readProject(file));
  for (const [name, value] of Object.entries(added)) environment[name] ??= value;
  return notes;
}

async function variablesOf({ env, file, folder }: Project): Promise<{ added: Environment; notes: string[] }> {
  if (typeof env !== "string") return { added: env, notes: [] };
  if (env === "") return { added: {}, notes: [] };
  const source = path.resolve(folder, env);
  try {
    return { added: parseEnv(await readFile(source, "utf8")), notes: [] };
  } catch (cause) {
    // An image is built without it: there the environment is the container's.
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      return { added: {}, notes: [`${file} names ${env} as env, but there is no such file (${source})`] };
    throw new ProjectError(`${file}: env: ${env} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
