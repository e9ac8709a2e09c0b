import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import type { EmbeddedPostgres } from "../../src/db/embedded.ts";

export type Started = Pick<EmbeddedPostgres, "url" | "pid" | "how">;

const children: ChildProcess[] = [];

/** Starts the built-in Postgres in a process of its own, which holds it until killed. */
export async function startInChild(
  dataDir: string,
  { ids = {}, through = [] }: { ids?: { uid?: number; gid?: number }; through?: string[] } = {},
): Promise<{ child: ChildProcess; server: Started }> {
  const script = path.resolve(import.meta.dirname, "start-embedded.ts");
  const [file = "", ...args] = [
    ...through,
    process.execPath,
    "--conditions=holdfast-source",
    "--import",
    "tsx",
    script,
    dataDir,
  ];
  const child = spawn(file, args, {
    ...ids,
    cwd: path.resolve(import.meta.dirname, "../.."),
    env: { PATH: process.env.PATH, HOME: os.tmpdir() },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let errors = "";
  child.stderr?.on("data", (text) => {
    errors += text;
  });
  for await (const line of createInterface({ input: child.stdout! }))
    return { child, server: JSON.parse(line) };
  throw new Error(errors);
}

/** One statement on a connection of its own. */
export async function query(url: string, sql: string) {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  return (await client.query(sql).finally(() => client.end())).rows;
}

/** Kills a process and waits until it is gone. */
export async function killed(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Process ids of the servers with data below this folder. */
export const serversBelow = (folder: string): number[] =>
  spawnSync("pgrep", ["-f", `postgres -D ${folder}`], { encoding: "utf8" })
    .stdout.split("\n")
    .filter(Boolean)
    .map(Number);

/** Kills every process that startInChild has started. */
export async function killChildren(): Promise<void> {
  for (const child of children.splice(0)) await killed(child);
}
