// `holdfast dev`: the server in a child process, started anew when a file of the project changes. The database belongs to
// this process, so that it stays up in between. Runs that were under way go on in the next child, from their last step.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FSWatcher, watch } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import type { Config } from "./config.ts";
import { database } from "./database.ts";
import type { Log } from "./observe/log.ts";

/** An editor writes several files, and each more than once. */
const debounceMillis = 300;
const foldersMax = 2_000;
/** A child that does not stop by itself; its runs are given back by its lease then. */
const stopMillisMax = 10_000;
const drainSeconds = "2";

const ignored = /^(node_modules|dist|build|coverage|\..+)$/;
const watched = /\.([cm]?[jt]sx?|json|css)$|^\.env(\..+)?$/;

interface Program {
  environment: Readonly<Record<string, string | undefined>>;
  mainFile: string;
  /** Ends it. */
  signal: AbortSignal;
}

/** Runs until the signal aborts. A child that cannot start leaves its error on the terminal; the next change tries again. */
export async function develop(
  config: Config,
  log: Log,
  { environment, mainFile, signal }: Program,
): Promise<void> {
  const stops: (() => Promise<void>)[] = [];
  const env = {
    DRAIN_SECONDS: drainSeconds,
    ...environment,
    PROCESSES: "1",
    DATABASE_URL: await database(config, log, stops),
  };
  const folder = path.dirname(path.resolve(config.LANGGRAPH_JSON));
  const aborted = signal.aborted ? Promise.resolve() : once(signal, "abort").then(() => undefined);
  try {
    while (!signal.aborted) {
      // Watched before the child is started: what changes while it loads its modules counts.
      const project = await watchProject(folder);
      const child = start(mainFile, env);
      const ended = once(child, "exit");
      const over = Promise.race([project.changed, aborted]);
      const failed = await Promise.race([ended.then(() => true), over.then(() => false)]);
      if (failed && !signal.aborted) log.error("the server has ended: a change of a file starts it again");
      await over;
      project.close();
      await stop(child, ended);
      if (!signal.aborted) log.info("a file has changed: starting again");
    }
  } finally {
    for (const end of stops.reverse()) await end();
  }
}

/** In a process group of its own: a terminal's Ctrl-C reaches this process alone, which then stops the child once. */
const start = (mainFile: string, env: Record<string, string | undefined>): ChildProcess =>
  spawn(process.execPath, [...process.execArgv, mainFile, "serve"], {
    env,
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMillisMax);
  await ended.finally(() => clearTimeout(timer));
}

interface Watch {
  /** Resolves when a source file has changed, and all has been quiet for a moment since. */
  changed: Promise<void>;
  close(): void;
}

async function watchProject(folder: string): Promise<Watch> {
  const folders = await foldersOf(folder);
  const watchers: FSWatcher[] = [];
  let timer: NodeJS.Timeout | undefined;
  const changed = new Promise<void>((resolve) => {
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(resolve, debounceMillis);
    };
    const look = (_event: string, name: string | null): void => {
      if (name !== null && watched.test(name)) wait();
    };
    // A folder that was removed is a change, too.
    for (const each of folders) watchers.push(watch(each, look).on("error", wait));
  });
  const close = (): void => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
  return { changed, close };
}

/** The project's folders, without those of packages and products. */
async function foldersOf(root: string): Promise<string[]> {
  const found = [root];
  for (const folder of found) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (!entry.isDirectory() || ignored.test(entry.name) || found.length >= foldersMax) continue;
      found.push(path.join(folder, entry.name));
    }
  }
  return found;
}
