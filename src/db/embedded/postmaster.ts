import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "./binaries.ts";
import type { Cluster } from "./cluster.ts";
import { codeOf, EmbeddedPostgresError, useYourOwn } from "./error.ts";
import { anyLivesIn, livesIn } from "./processes.ts";
import { commandAs } from "./user.ts";

export const startMillisMax = 20_000;
const pollMillis = 10;
const retryMillis = 200;
/** Ends of a new server that no race or crash explains, e.g. an unknown setting. */
const failuresMax = 3;
const stopMillisMax = 15_000;
const killMillisMax = 5_000;
const logBytesMax = 10_000_000;
const tailCharsMax = 2_000;

/** What a running server writes about itself. */
export interface Lock {
  pid: number;
  port: number;
  ready: boolean;
}

const lockFile = (home: string): string => path.join(home, "postmaster.pid");

/** The fields of postmaster.pid stand one per line: 1 process id, 4 port, 8 state. */
export function readLock(file: string): Lock | undefined {
  let lines: string[];
  try {
    lines = readFileSync(file, "utf8").split("\n");
  } catch {
    return undefined;
  }
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, port: Number(lines[3] ?? 0), ready: (lines[7] ?? "").trim() === "ready" };
}

/** The living server of this data folder, if there is one. */
export function findServer(home: string): Lock | undefined {
  const lock = readLock(lockFile(home));
  return lock && livesIn(lock.pid, home) ? lock : undefined;
}

export interface Running {
  pid: number;
  port: number;
  how: "started" | "adopted";
}

interface Wanted {
  cluster: Cluster;
  settings: Record<string, string>;
  /** Says whether the server answers; throws when it never will. */
  answers(port: number): Promise<boolean>;
}

/**
 * Finds the living server or starts one, until one answers. Of several starters Postgres itself lets one
 * through; the others see their attempt end and adopt the winner.
 */
export async function ensureServer({ cluster, settings, answers }: Wanted): Promise<Running> {
  const deadline = Date.now() + startMillisMax;
  const lastPort = readLock(lockFile(cluster.home))?.port ?? 0;
  let attempt: Attempt | undefined;
  let failures = 0;
  while (Date.now() < deadline) {
    const server = findServer(cluster.home);
    if (server?.ready && (await answers(server.port))) {
      return {
        pid: server.pid,
        port: server.port,
        how: server.pid === attempt?.child.pid ? "started" : "adopted",
      };
    }
    if (attempt?.ended) {
      if (!server && !isPassing(attempt.output())) failures += 1;
      if (failures >= failuresMax) break;
      await sleep(retryMillis);
      attempt = undefined;
    } else if (!server && !attempt) {
      releaseLock(cluster.home);
      // The port of the time before, when it is free: others who know the address need not learn a new one.
      attempt = launch(cluster, settings, await freePort(failures === 0 ? lastPort : 0));
    } else {
      await sleep(pollMillis);
    }
  }
  if (findServer(cluster.home)) throw stillStarting(cluster.home);
  throw new EmbeddedPostgresError(
    `the built-in Postgres in ${cluster.home} did not start; fix what its log says, ${useYourOwn}:\n` +
      (attempt?.output() || tail(cluster.logFile, 0)),
  );
}

/** Not killed: a long recovery would begin anew every time and never end. The next start adopts it. */
const stillStarting = (home: string): EmbeddedPostgresError =>
  new EmbeddedPostgresError(
    `the built-in Postgres in ${home} is still starting after ${startMillisMax / 1000} s, perhaps recovering ` +
      `from a crash: start again in a moment, and look into its log`,
  );

/** After a kill -9 the old sessions need a moment to notice; another starter may hold the lock or the port. */
const isPassing = (output: string): boolean =>
  /lock file ".*" (already exists|is empty)|is still in use|could not bind|Address already in use/.test(
    output,
  );

interface Attempt {
  child: ChildProcess;
  ended: boolean;
  output(): string;
}

function launch(
  { home, logFile, runAs, binaries }: Cluster,
  settings: Wanted["settings"],
  port: number,
): Attempt {
  const from = shorten(logFile);
  const log = openSync(logFile, "a", 0o600);
  const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const args = ["-D", home, "-p", String(port), "-k", "", "-c", "listen_addresses=127.0.0.1", ...options];
  const command = commandAs(runAs, program(binaries, "postgres"), args);
  try {
    // Detached: the server outlives this process and its terminal, and the next one adopts it.
    const child = spawn(command.file, command.args, {
      ...command.options,
      detached: true,
      stdio: ["ignore", log, log],
    });
    const attempt: Attempt = { child, ended: false, output: () => tail(logFile, from) };
    child.once("exit", () => {
      attempt.ended = true;
    });
    child.once("error", (error) => {
      attempt.ended = true;
      attempt.output = () => error.message;
    });
    child.unref();
    return attempt;
  } finally {
    closeSync(log);
  }
}

/**
 * Removes a lock whose process id now belongs to a stranger; Postgres would take the stranger for its postmaster
 * and refuse for ever. A lock of a dead process stays: Postgres checks its shared memory first, then removes it.
 */
function releaseLock(home: string): void {
  const file = lockFile(home);
  if (!readLock(file) || findServer(home)) return;
  // Renamed before the look around, so that a server starting meanwhile is seen and gets its lock back.
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (anyLivesIn(home)) linkSync(aside, file);
  rmSync(aside, { force: true });
}

/** Free at the time of asking; when another program is faster, the start is tried again. */
function freePort(preferred: number): Promise<number> {
  return listenOnce(preferred).catch(() => listenOnce(0));
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Stops with open transactions rolled back, then, when that takes too long, without the closing checkpoint. */
export async function stopServer({ home, runAs, binaries }: Cluster, pid: number): Promise<void> {
  if (process.platform === "win32") {
    const { file, args, options } = commandAs(runAs, program(binaries, "pg_ctl"), [
      "stop",
      "-D",
      home,
      "-m",
      "fast",
    ]);
    spawn(file, args, { ...options, stdio: "ignore" }).on("error", () => {});
    if (await ends(pid, home, stopMillisMax)) return;
  } else {
    for (const [signal, millisMax] of [
      ["SIGINT", stopMillisMax],
      ["SIGQUIT", killMillisMax],
    ] as const) {
      if (!livesIn(pid, home)) return;
      signalTo(pid, signal);
      if (await ends(pid, home, millisMax)) return;
    }
  }
  throw new EmbeddedPostgresError(`the built-in Postgres, process ${pid}, does not stop: end it by hand`);
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  }
}

async function ends(pid: number, home: string, millisMax: number): Promise<boolean> {
  const deadline = Date.now() + millisMax;
  while (Date.now() < deadline) {
    if (!livesIn(pid, home)) return true;
    await sleep(pollMillis);
  }
  return false;
}

/** Keeps one old log, and says where the new one goes on. */
function shorten(logFile: string): number {
  const bytes = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes < logBytesMax) return bytes;
  renameSync(logFile, `${logFile}.old`);
  return 0;
}

function tail(logFile: string, from: number): string {
  try {
    return readFileSync(logFile).subarray(from).toString("utf8").slice(-tailCharsMax).trim();
  } catch {
    return "";
  }
}
