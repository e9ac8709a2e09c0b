import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { codeOf, isDenied } from "./error.ts";

const psMillisMax = 5_000;

/** Whether a process runs under this id; one that has ended and was not collected yet does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false;
  }
  if (process.platform !== "linux") return true;
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/**
 * Whether this process is a Postgres of this data folder. Ids are reused, so being alive proves nothing;
 * every Postgres process has its data folder as working directory.
 */
export function livesIn(pid: number, home: string): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform === "win32") return true;
  if (process.platform !== "linux") return ps(["-p", String(pid), "-o", "command="]).includes(home);
  const folder = folderOf(pid);
  return folder === undefined ? argumentsOf(pid).includes(home) : folder === home;
}

/** Whether any process works in this data folder, e.g. a session that outlived its killed postmaster. */
export function anyLivesIn(home: string): boolean {
  if (process.platform === "win32") return true;
  // Without /proc the sessions do not show their folder: any Postgres might be one of ours.
  if (process.platform !== "linux") return /(^|\/)postgres\b/m.test(ps(["-axo", "command="]));
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).some((pid) => livesIn(pid, home) || (isHidden(pid) && isAlive(pid)));
}

/** Undefined when hidden: root in a container may look only into processes of its own user. */
function folderOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch (error) {
    return isDenied(error) ? undefined : "";
  }
}

/** Only the postmaster has the data folder among its arguments; its sessions write their state over them. */
function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** A Postgres that may be ours although we cannot look. Started by a user, ours is that user's, and never hidden. */
const isHidden = (pid: number): boolean =>
  process.getuid?.() === 0 &&
  folderOf(pid) === undefined &&
  /^postgres(:|$)|\/postgres$/.test(argumentsOf(pid)[0] ?? "");

function ps(args: string[]): string {
  try {
    return execFileSync("ps", args, { encoding: "utf8", timeout: psMillisMax });
  } catch {
    return "";
  }
}
