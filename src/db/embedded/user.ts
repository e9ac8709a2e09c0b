import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";

const run = promisify(execFile);
const probeMillisMax = 5_000;
const nobodyId = 65_534;

/**
 * As whom Postgres runs. It refuses to run as root, so a root process has two ways:
 * - `userns`: inside a user namespace in which root is called nobody. The files stay root's, and the data may
 *   lie below root's own home.
 * - `setuid`: where namespaces are forbidden (Docker's default), as the user nobody. When nobody cannot enter the
 *   folder above the data, e.g. root's home, the data lies in `/var/lib/holdfast` instead.
 */
export type RunAs = { mode: "direct" } | { mode: "userns" } | { mode: "setuid"; uid: number; gid: number };

export const Mode = z.enum(["direct", "userns", "setuid"]);
export type Mode = z.infer<typeof Mode>;

/** A program call, ready for spawn or execFile. */
export interface Command {
  file: string;
  args: string[];
  options: { cwd: string; env: NodeJS.ProcessEnv; windowsHide: true; uid?: number; gid?: number };
}

/** The server's own environment: PGPORT, PGOPTIONS or a locale of the caller must not reach it. */
const env = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
const enter = ["-U", `--map-user=${nobodyId}`, `--map-group=${nobodyId}`, "--"];

export function commandAs(runAs: RunAs, file: string, args: string[]): Command {
  // Not the caller's folder: it may be gone tomorrow, or closed to the other user.
  const options = { cwd: process.platform === "win32" ? "." : "/", env, windowsHide: true } as const;
  switch (runAs.mode) {
    case "direct":
      return { file, args, options };
    case "userns":
      return { file: "unshare", args: [...enter, file, ...args], options };
    case "setuid":
      return { file, args, options: { ...options, uid: runAs.uid, gid: runAs.gid } };
  }
}

/** True when the program ends with 0 as that user. */
export async function succeedsAs(runAs: RunAs, file: string, args: string[]): Promise<boolean> {
  const command = commandAs(runAs, file, args);
  return run(command.file, command.args, { ...command.options, timeout: probeMillisMax }).then(
    () => true,
    () => false,
  );
}

/** Chooses once per data folder; the caller remembers the answer, since the files belong to one user. */
export async function chooseMode({ postgres, parent }: { postgres: string; parent: string }): Promise<Mode> {
  if (process.geteuid?.() !== 0) return "direct";
  // Root in the namespace has no privileges: the program and the folder must really be open to it.
  const usable = await succeedsAs({ mode: "userns" }, "test", ["-x", postgres, "-a", "-w", parent]);
  return usable ? "userns" : "setuid";
}

export const runAsOf = (mode: Mode): RunAs =>
  mode === "setuid" ? { mode, uid: nobodyId, gid: nobodyId } : { mode };

/** Owner that the data folder must have, undefined where the system knows no owners. */
export const ownerOf = (runAs: RunAs): number | undefined =>
  runAs.mode === "setuid" ? runAs.uid : process.geteuid?.();
