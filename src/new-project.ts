// `holdfast new`: writes a project with a graph, a validator and a test, ready for `npm install` and `npm run dev`.
import {
  chmod,
  copyFile,
  cp,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { print } from "./command.ts";
import { ProjectError } from "./engine/project.ts";

/** npm's own rule, without scopes, since the name is a folder's too. */
const projectName = /^[a-z0-9][a-z0-9._-]{0,99}$/;
/** A temporary folder is its owner's alone; a project is not. */
const folderMode = 0o755;
const refusedNames = new Set(["node_modules", "holdfast", "favicon.ico"]);

/** npm does not pack files of these names, or renames them. */
const dotted = { gitignore: ".gitignore", dockerignore: ".dockerignore", "env.example": ".env.example" };

const Manifest = z.looseObject({ name: z.string(), dependencies: z.record(z.string(), z.string()) });
const InstalledLock = z.object({
  packages: z.record(z.string(), z.object({ resolved: z.string().optional() })),
});

/** Writes the project into a new or empty folder of `parent`, whole or not at all. Throws ProjectError. */
export async function writeProject(
  parent: string,
  [name, ...more]: readonly (string | undefined)[],
): Promise<void> {
  if (name === undefined || more.length > 0) throw new ProjectError("usage: holdfast new NAME");
  if (!projectName.test(name) || refusedNames.has(name)) {
    throw new ProjectError(
      `"${name}" cannot be the name of a project: it names a folder and a package, so it is made of small letters, digits, "-", "_" and ".", and begins with a letter or digit`,
    );
  }
  const folder = path.join(parent, name);
  await refuseUnlessEmpty(folder);
  const packageRoot = path.dirname(fileURLToPath(import.meta.resolve("holdfast/package.json")));
  const draft = await mkdtemp(path.join(parent, `.${name}-`));
  try {
    await cp(path.join(packageRoot, "template"), draft, { recursive: true });
    for (const [packed, real] of Object.entries(dotted))
      await rename(path.join(draft, packed), path.join(draft, real));
    await nameIt(draft, { name, holdfast: await versionToInstall(packageRoot, draft) });
    await chmod(draft, folderMode);
    await rename(draft, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  print(`${name} is written. Next:\n\n  cd ${name}\n  npm install\n  npm test\n  npm run dev`);
}

async function refuseUnlessEmpty(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined;
    throw new ProjectError(`${folder} is there already, and is no folder`, { cause });
  });
  if (entries === undefined) return;
  if (entries.length > 0) throw new ProjectError(`${folder} is not empty: nothing was written`);
  await rmdir(folder);
}

async function nameIt(folder: string, { name, holdfast }: { name: string; holdfast: string }): Promise<void> {
  const file = path.join(folder, "package.json");
  const manifest = Manifest.parse(JSON.parse(await readFile(file, "utf8")));
  const { dependencies } = manifest;
  const named = { ...manifest, name, dependencies: { ...dependencies, holdfast } };
  await writeFile(file, `${JSON.stringify(named, null, 2)}\n`);
  const readme = path.join(folder, "README.md");
  await writeFile(readme, (await readFile(readme, "utf8")).replace(/^# agent/, `# ${name}`));
}

/**
 * What to install: where this program came from a tarball, a copy of that, so that the folder is whole, also for
 * Docker; a registry may know another package by our name.
 */
async function versionToInstall(packageRoot: string, draft: string): Promise<string> {
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(path.join(packageRoot, "package.json"), "utf8")));
  const tarball = await tarballOf(packageRoot, `holdfast-${version}.tgz`);
  if (tarball === undefined) return version;
  const file = path.basename(tarball);
  await copyFile(tarball, path.join(draft, file)).catch((cause) => {
    throw new ProjectError(`${tarball} is not there: run "npm pack" in the folder of holdfast first`, {
      cause,
    });
  });
  return `file:${file}`;
}

async function tarballOf(packageRoot: string, packed: string): Promise<string | undefined> {
  const installedAt = path.dirname(packageRoot);
  // A clone of the repository.
  if (path.basename(installedAt) !== "node_modules") return path.join(packageRoot, packed);
  const text = await readFile(path.join(installedAt, ".package-lock.json"), "utf8").catch(() => undefined);
  const lock = text === undefined ? undefined : InstalledLock.safeParse(JSON.parse(text)).data;
  const resolved = lock?.packages["node_modules/holdfast"]?.resolved;
  if (!resolved?.startsWith("file:")) return undefined;
  return path.resolve(path.dirname(installedAt), resolved.slice("file:".length));
}
