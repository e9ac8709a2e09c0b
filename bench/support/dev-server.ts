import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const upMillisMax = 60_000;

/** The official dev server, in memory, with the five-step graph. */
export async function startDevServer(workers: number): Promise<{ url: string; stop(): Promise<void> }> {
  const cwd = mkdtempSync(path.join(tmpdir(), "dev-server-"));
  const graph = path.relative(cwd, fileURLToPath(new URL("five-steps.ts", import.meta.url)));
  const payload = { port: 0, nWorkers: workers, host: "localhost", cwd, graphs: { five: `${graph}:graph` } };
  const entry = import.meta.resolve("@langchain/langgraph-api");
  const imports = [import.meta.resolve("tsx"), new URL("../preload.mjs", entry).href];
  const main = fileURLToPath(new URL("entrypoint.mjs", entry));
  const flags = imports.flatMap((file) => ["--import", file]);
  const child = spawn(process.execPath, [...flags, main, String(process.pid), JSON.stringify(payload)], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: "development" },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const stop = async (): Promise<void> => {
    if (child.pid !== undefined && child.exitCode === null) {
      process.kill(-child.pid, "SIGKILL");
      await once(child, "exit");
    }
    rmSync(cwd, { recursive: true, force: true });
  };
  try {
    return { url: await addressOf(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the dev server was not up in time")), upMillisMax);
    child.once("exit", (code) => reject(new Error(`the dev server ended with ${code}`)));
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const port = /Server running at .*:(\d+)/.exec(line)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(`http://localhost:${port}`);
    });
  });
}
