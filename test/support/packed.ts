import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, "../..");
/** For the slowest of machines; what the product promises is measured, and printed. */
const upMillisMax = 120_000;

interface Manifest {
  name?: string;
  version?: string;
  dependencies?: Record<string, string>;
}

/** Packs the repository as it was built, and gives the tarball's path. */
export async function packHoldfast(folder: string): Promise<string> {
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const { stdout } = await run("npm", args, { cwd: repository });
  const [packed] = JSON.parse(stdout) as { filename: string }[];
  return path.join(folder, packed?.filename ?? "");
}

/** The files of a tarball, without its top folder. */
export async function filesOf(tarball: string): Promise<string[]> {
  const { stdout } = await run("tar", ["-tzf", tarball]);
  return stdout
    .trim()
    .split("\n")
    .map((name) => name.replace(/^package\//, ""));
}

/**
 * Installs the tarball and what it needs into the project, by npm itself. A lock file, with the versions of our own, keeps npm
 * from asking the registry for newer ones: the packages come from the cache that the repository's `npm ci` has filled.
 */
export async function installPacked(project: string, tarball: string): Promise<void> {
  const file = path.basename(tarball);
  await copyFile(tarball, path.join(project, file));
  const manifest = await readJson<Manifest>(path.join(project, "package.json"));
  manifest.dependencies = { ...manifest.dependencies, holdfast: `file:${file}` };
  const lock = await readJson<{ packages: Record<string, object> }>(
    path.join(repository, "package-lock.json"),
  );
  const {
    scripts: _,
    devDependencies: __,
    overrides: ___,
    ...ours
  } = await readJson<Record<string, unknown>>(path.join(repository, "package.json"));
  const needed = Object.entries(lock.packages).filter(([place, entry]) => place !== "" && !("dev" in entry));
  const packages = {
    "": manifest,
    "node_modules/holdfast": { ...ours, resolved: `file:${file}` },
    ...Object.fromEntries(needed),
  };
  await writeJson(path.join(project, "package.json"), manifest);
  await writeJson(path.join(project, "package-lock.json"), { ...manifest, lockfileVersion: 3, packages });
  await run("npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: project });
}

const readJson = async <T>(file: string): Promise<T> => JSON.parse(await readFile(file, "utf8")) as T;
const writeJson = (file: string, value: unknown): Promise<void> =>
  writeFile(file, `${JSON.stringify(value, null, 2)}\n`);

export interface Started {
  url: string;
  /** From the command to the first answer. */
  upMillis: number;
  stop(): Promise<void>;
}

/** Runs a command in the project, as its author would, until the server says that it is up; on a port of its own. */
export async function startIn(
  project: string,
  [command = "", ...args]: readonly string[],
  environment: Record<string, string> = {},
): Promise<Started> {
  const began = performance.now();
  const { PATH, HOME } = process.env;
  const child = spawn(command, args, {
    cwd: project,
    env: { PATH, HOME, PORT: "0", ...environment },
    // npx and npm have children; a group of their own takes a signal as a terminal sends it.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  const said: string[] = [];
  child.stderr.on("data", (data: Buffer) => said.push(data.toString()));
  const address = new Promise<string>((resolve, reject) => {
    const fail = (): void =>
      reject(new Error(`the server did not come up in ${project}\n${said.join("\n")}`));
    setTimeout(fail, upMillisMax).unref();
    child.once("exit", (code, signal) => {
      said.push(`it ended with ${code ?? signal}`);
      fail();
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(line);
      const up = /"address":"([^"]+)".*"holdfast is up"/.exec(line);
      if (up?.[1] !== undefined) resolve(up[1]);
    });
  });
  const stop = async (): Promise<void> => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, "SIGINT");
    await exited;
  };
  const url = await address.catch(async (error) => {
    await stop();
    throw error;
  });
  await fetch(`${url}/ok`);
  return { url, upMillis: performance.now() - began, stop };
}
