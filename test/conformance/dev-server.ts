import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** On an idle machine it takes three seconds; the tests may run beside others. */
const upMillisMax = 120_000;

export interface Server {
  url: string;
  stop(): Promise<void>;
}

interface Project {
  graphs: Record<string, string | { path: string; description?: string }>;
  http?: { app: string };
  auth?: { path: string };
  ui?: Record<string, string>;
}

/**
 * The official dev server on a project, without its watcher. Its own entry point is started; what it keeps goes
 * into a folder that is removed, and the project's paths are told from there.
 */
export async function startDevServer(
  file: string,
  environment: Record<string, string> = {},
): Promise<Server> {
  const cwd = await mkdtemp(path.join(await realpath(tmpdir()), "dev-server-"));
  await symlink(path.dirname(file), path.join(cwd, projectLink));
  const payload = {
    port: 0,
    nWorkers: 10,
    host: "localhost",
    cwd,
    ...seenFrom(cwd, file, JSON.parse(await readFile(file, "utf8"))),
  };
  const entry = import.meta.resolve("@langchain/langgraph-api");
  const flags = ["--import", import.meta.resolve("tsx"), "--import", new URL("../preload.mjs", entry).href];
  const main = fileURLToPath(new URL("entrypoint.mjs", entry));
  const child = spawn(process.execPath, [...flags, main, String(process.pid), JSON.stringify(payload)], {
    cwd: path.dirname(file),
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: "development", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that whatever it started ends with it.
    detached: true,
  });
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, "SIGKILL");
      await exited;
    }
    await rm(cwd, { recursive: true, force: true });
  };
  const lines: string[] = [];
  const url = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("it was not up in time")), upMillisMax);
    const settle = (end: () => void): void => {
      clearTimeout(timer);
      end();
    };
    for (const input of [child.stdout, child.stderr])
      createInterface({ input }).on("line", (line) => {
        if (lines.length < 200) lines.push(line);
        const port = /Server running at .*:(\d+)/.exec(line)?.[1];
        if (port !== undefined) settle(() => resolve(`http://localhost:${port}`));
      });
    child.once("exit", (code) => settle(() => reject(new Error(`it ended with ${code}`))));
  });
  try {
    return { url: await url, stop };
  } catch (error) {
    await stop();
    throw new Error(`the dev server did not start: ${(error as Error).message}\n${lines.join("\n")}`);
  }
}

const projectLink = "project";

function seenFrom(cwd: string, file: string, { graphs, http, auth, ui }: Project): Record<string, unknown> {
  const folder = path.dirname(file);
  const at = (target: string): string => path.relative(cwd, path.resolve(folder, target));
  const spec = (graph: Project["graphs"][string]): unknown =>
    typeof graph === "string" ? at(graph) : { ...graph, path: at(graph.path) };
  return {
    graphs: mapped(graphs, spec),
    ...(http === undefined ? {} : { http: { ...http, app: at(http.app) } }),
    ...(auth === undefined ? {} : { auth: { ...auth, path: at(auth.path) } }),
    // The bundler takes nothing that lies outside of where it works.
    ...(ui === undefined ? {} : { ui: mapped(ui, (target) => path.join(projectLink, target)) }),
  };
}

const mapped = <T, R>(record: Record<string, T>, change: (value: T) => R): Record<string, R> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
