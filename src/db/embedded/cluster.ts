import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import {
  chown,
  cp,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { type Binaries, program } from "./binaries.ts";
import { codeOf, EmbeddedPostgresError, isDenied, useYourOwn } from "./error.ts";
import { isAlive } from "./processes.ts";
import { chooseMode, commandAs, Mode, ownerOf, type RunAs, runAsOf, succeedsAs } from "./user.ts";

const run = promisify(execFile);
const initMillisMax = 60_000;
const passwordBytes = 24;
/** The user nobody can neither enter root's home nor write elsewhere; this folder root makes for it. */
const setuidRoot = "/var/lib/holdfast";
export const user = "holdfast";

/** One data folder, and what is kept next to it. */
export interface Cluster {
  /** The folder Postgres runs in. Not the one asked for when `runAs` is `setuid`. */
  home: string;
  password: string;
  logFile: string;
  runAs: RunAs;
  binaries: Binaries;
}

/** Opens the data folder, and makes it when it is not there. Safe when several processes do it at once. */
export async function openCluster(asked: { dataDir: string; binaries: Binaries }): Promise<Cluster> {
  const dataDir = await prepareFolder(asked.dataDir);
  const chosen = await rememberMode(dataDir, program(asked.binaries, "postgres"));
  const runAs = runAsOf(chosen);
  const home = runAs.mode === "setuid" ? await reachableHome(dataDir, runAs) : dataDir;
  const binaries = runAs.mode === "setuid" ? await reachable(asked.binaries, runAs) : asked.binaries;
  const made = await checkExisting(home, runAs, binaries);
  const passwordFile = `${dataDir}.password`;
  if (made && !existsSync(passwordFile)) {
    throw new EmbeddedPostgresError(
      `the database in ${home} has lost its password file ${passwordFile}: put it back, ` +
        `or move the folder away to begin with an empty database`,
    );
  }
  const password = await writeOnce(passwordFile, randomBytes(passwordBytes).toString("hex"));
  const cluster = { home, password, logFile: `${dataDir}.log`, runAs, binaries };
  if (!made) await initialise(cluster);
  return cluster;
}

/** Makes the folder above, so that the data folder itself can appear complete, by a rename. */
async function prepareFolder(dataDir: string): Promise<string> {
  const wanted = path.resolve(dataDir);
  const parent = path.dirname(wanted);
  try {
    await mkdir(parent, { recursive: true });
    const resolved = path.join(await realpath(parent), path.basename(wanted));
    if (!existsSync(resolved)) return resolved;
    // Whose folder it must be for root depends on its mode, see checkExisting.
    const owner = process.geteuid?.() || undefined;
    assertOwner(resolved, (await stat(resolved)).uid, owner);
    // A data folder that is itself a link (to a larger disk, say) is followed: Postgres reports real paths.
    return await realpath(resolved);
  } catch (cause) {
    throw isDenied(cause) ? notWritable(parent, cause) : cause;
  }
}

async function rememberMode(dataDir: string, postgres: string): Promise<Mode> {
  const file = `${dataDir}.mode`;
  try {
    if (!existsSync(file))
      await writeOnce(file, await chooseMode({ postgres, parent: path.dirname(dataDir) }));
    const mode = Mode.parse((await readFile(file, "utf8")).trim());
    if ((mode === "direct") === (process.geteuid?.() === 0)) {
      throw madeByAnother(dataDir, mode === "direct" ? "an ordinary user" : "root");
    }
    return mode;
  } catch (cause) {
    throw isDenied(cause) ? notWritable(path.dirname(dataDir), cause) : cause;
  }
}

/** True when a usable database is there. */
async function checkExisting(home: string, runAs: RunAs, binaries: Binaries): Promise<boolean> {
  if (!existsSync(home)) return false;
  assertOwner(home, (await stat(home)).uid, ownerOf(runAs));
  const version = await readFile(path.join(home, "PG_VERSION"), "utf8").catch(() => "");
  if (version === "") {
    if ((await readdir(home)).length === 0) return false;
    throw new EmbeddedPostgresError(
      `${home} is neither empty nor a Postgres data folder: choose another folder`,
    );
  }
  if (Number.parseInt(version, 10) === binaries.major) return true;
  throw new EmbeddedPostgresError(
    `${home} was made by Postgres ${version.trim()}, this is ${binaries.major}: dump it with the old version ` +
      `and restore it here, choose another folder, ${useYourOwn}`,
  );
}

function assertOwner(folder: string, actual: number, expected: number | undefined): void {
  if (expected !== undefined && actual !== expected) throw madeByAnother(folder, `user id ${actual}`);
}

const madeByAnother = (folder: string, owner: string): EmbeddedPostgresError =>
  new EmbeddedPostgresError(
    `the data folder ${folder} was made by ${owner}, not by you: run as that user, ` +
      `choose another folder, ${useYourOwn}`,
  );

const notWritable = (folder: string, cause: unknown): EmbeddedPostgresError =>
  new EmbeddedPostgresError(
    `${folder} is not writable by user id ${process.geteuid?.() ?? "?"}: choose another data folder, ${useYourOwn}`,
    { cause },
  );

/** The first of several writers wins, and all return what it wrote. The file is never half-written. */
async function writeOnce(file: string, text: string): Promise<string> {
  if (!existsSync(file)) {
    const draft = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
    await writeFile(draft, text, { mode: 0o600, flush: true });
    await link(draft, file)
      .catch((error: unknown) => {
        if (codeOf(error) !== "EEXIST") throw error;
      })
      .finally(() => rm(draft));
  }
  return readFile(file, "utf8");
}

/** initdb works in a scratch folder; only a complete database, synced to disk, gets the real name. */
async function initialise({ home, password, runAs, binaries }: Cluster): Promise<void> {
  await mkdir(path.dirname(home), { recursive: true, mode: 0o755 });
  await removeAbandoned(home);
  const scratch = `${home}.init-${process.pid}-${randomBytes(4).toString("hex")}`;
  const passwordFile = path.join(scratch, "password");
  const fresh = path.join(scratch, "data");
  try {
    await mkdir(scratch, { mode: 0o700 });
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (runAs.mode === "setuid") {
      await Promise.all([scratch, passwordFile].map((name) => chown(name, runAs.uid, runAs.gid)));
    }
    const locale = ["-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    const access = ["-U", user, "-A", "scram-sha-256", `--pwfile=${passwordFile}`];
    const command = commandAs(runAs, program(binaries, "initdb"), ["-D", fresh, ...access, ...locale]);
    await run(command.file, command.args, { ...command.options, timeout: initMillisMax }).catch((cause) => {
      throw new EmbeddedPostgresError(
        `could not make a database in ${home}: ${String(cause.stderr || cause.message).trim()} ` +
          `(the built-in Postgres needs a system with glibc on Linux); choose another folder, ${useYourOwn}`,
        { cause },
      );
    });
    await moveInto(fresh, home);
  } catch (cause) {
    throw isDenied(cause) ? notWritable(path.dirname(home), cause) : cause;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function moveInto(fresh: string, home: string): Promise<void> {
  try {
    await rename(fresh, home);
  } catch (error) {
    if (["EBUSY", "EXDEV"].includes(codeOf(error))) {
      throw new EmbeddedPostgresError(`${home} is a mount point: choose a folder inside it`, {
        cause: error,
      });
    }
    // Another starter was first. Its database has the same password, so ours is simply not needed.
    if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error))) throw error;
  }
  if (process.platform === "win32") return;
  const folder = await open(path.dirname(home));
  await folder.sync().finally(() => folder.close());
}

/** Scratch folders of starters that were killed. In a container every process may have the same id: hence the age. */
async function removeAbandoned(home: string): Promise<void> {
  const [parent, prefix] = [path.dirname(home), `${path.basename(home)}.init-`];
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const folder = path.join(parent, name);
    const age = Date.now() - (await stat(folder).then((found) => found.mtimeMs, Date.now));
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    if (isAlive(pid) && age < 2 * initMillisMax) continue;
    // An initdb that outlived its starter may still be writing there: then the next start removes it.
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** The folder asked for, a mounted volume for instance, unless nobody cannot get there. */
async function reachableHome(dataDir: string, runAs: RunAs): Promise<string> {
  await mkdir(setuidRoot, { recursive: true, mode: 0o755 });
  const elsewhere = path.join(await realpath(setuidRoot), shortHash(dataDir));
  if (existsSync(elsewhere)) return elsewhere;
  return (await succeedsAs(runAs, "test", ["-x", path.dirname(dataDir)])) ? dataDir : elsewhere;
}

/** The package below root's home is closed to nobody: then a copy of its programs is put where it is not. */
async function reachable(binaries: Binaries, runAs: RunAs): Promise<Binaries> {
  if (await succeedsAs(runAs, program(binaries, "postgres"), ["--version"])) return binaries;
  const native = path.join(setuidRoot, `postgres-${binaries.version}`);
  if (!existsSync(native)) {
    await mkdir(setuidRoot, { recursive: true, mode: 0o755 });
    const draft = `${native}.${process.pid}.${randomBytes(4).toString("hex")}`;
    await cp(binaries.native, draft, { recursive: true, verbatimSymlinks: true });
    await rename(draft, native).catch(() => rm(draft, { recursive: true, force: true }));
  }
  return { ...binaries, native };
}

const shortHash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);
