import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { type EffectLine, readEffectLog } from "./effect-log.ts";
import type { SinkOptions } from "./effect-sink-server.ts";

export interface EffectSink {
  url: string;
  /** What it has done so far: the only witness that a test should believe. */
  lines(): Promise<EffectLine[]>;
  /** Kills it with -9 and starts it again at the same address with the same log. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** The outside world in a process of its own, with a log of its own. `log` is its file. */
export async function startEffectSink(options: SinkOptions): Promise<EffectSink> {
  let { child, url } = await startProgram("effect-sink-main.ts", options);
  return {
    url,
    lines: () => readEffectLog(options.log),
    async restart() {
      await killed(child);
      ({ child } = await startProgram("effect-sink-main.ts", {
        ...options,
        port: Number(new URL(url).port),
      }));
    },
    stop: () => killed(child),
  };
}

/** A program of this folder that says its address in its first line and ends with its standard input. */
export async function startProgram(
  file: string,
  options: object,
): Promise<{ child: ChildProcess; url: string }> {
  const script = path.resolve(import.meta.dirname, file);
  const child = spawn(process.execPath, ["--import", "tsx", script, JSON.stringify(options)], {
    cwd: path.resolve(import.meta.dirname, "../.."),
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ["pipe", "pipe", "inherit"],
  });
  for await (const url of createInterface({ input: child.stdout! })) return { child, url };
  throw new Error(`${file} ended before it said where it listens`);
}

export async function killed(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
