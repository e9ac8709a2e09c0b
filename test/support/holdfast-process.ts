import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

const repository = path.resolve(import.meta.dirname, "../..");
const upMillisMax = 120_000;

export interface HoldfastProcess {
  pid: number;
  /** Where it listens; empty for a worker alone. */
  url: string;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Its log lines so far, parsed. */
  lines: Record<string, unknown>[];
  kill(signal: NodeJS.Signals): void;
  /** Ends it for good, whatever state it is in. */
  end(): Promise<void>;
}

/** A real server process, as users start it: the compiled program. Resolves when it says that it is up. */
export async function startHoldfast(
  environment: Record<string, string>,
  {
    dist = path.join(repository, "dist"),
    command = "serve",
  }: { dist?: string; command?: "serve" | "dev" } = {},
): Promise<HoldfastProcess> {
  const child = spawn(process.execPath, [path.join(dist, "src/main.js"), command], {
    cwd: repository,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LANGGRAPH_JSON: "test/graphs/langgraph.json",
      PORT: "0",
      DATABASE_CONNECTIONS: "6",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const lines: Record<string, unknown>[] = [];
  const stderr: string[] = [];
  child.stderr?.on("data", (data: Buffer) => stderr.push(data.toString()));
  const address = await addressOf(child, lines).catch((error: Error) => {
    child.kill("SIGKILL");
    throw new Error(
      `${error.message}\n${stderr.join("")}${lines.map((line) => JSON.stringify(line)).join("\n")}`,
    );
  });
  return {
    pid: child.pid ?? 0,
    url: address,
    exited,
    lines,
    kill: (signal) => child.kill(signal),
    async end() {
      child.kill("SIGCONT");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function addressOf(child: ChildProcess, lines: Record<string, unknown>[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the program did not come up")), upMillisMax);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`the program ended before it was up: ${code ?? signal}`));
    });
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on("line", (text) => {
      const line = JSON.parse(text) as Record<string, unknown>;
      lines.push(line);
      if (line.msg !== "holdfast is up") return;
      clearTimeout(timer);
      resolve(String(line.address ?? ""));
    });
  });
}
