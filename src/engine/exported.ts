import { access } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { type Project, ProjectError } from "./project.ts";

export type ImportModule = (url: string) => Promise<Record<string, unknown>>;

/** What the module system itself adds to a CommonJS module. */
const cjsNames = new Set(["default", "module.exports", "__esModule"]);

export interface Wanted {
  project: Pick<Project, "file" | "folder">;
  /** Who names it, for errors: "graph g", "auth.path". */
  place: string;
  /** `./path/to/file.ts:exportName`; without a name the default export is meant. */
  target: string;
  importModule: ImportModule;
}

/** What a program's module exports under that name, awaited, and how to say that it is not what was wanted. */
export interface Exported {
  value: unknown;
  sourceFile: string;
  exportName: string;
  refuse(expected: string): ProjectError;
}

/** Throws ProjectError when there is no such file, or it fails to load. */
export async function importExport({ project, place, target, importModule }: Wanted): Promise<Exported> {
  const { file } = project;
  const [modulePath, exportName] = splitTarget(target);
  const sourceFile = path.resolve(project.folder, modulePath);
  await access(sourceFile).catch((cause) => {
    throw new ProjectError(
      `${file}: ${place} names ${modulePath}, but there is no such file (${sourceFile})`,
      { cause },
    );
  });
  try {
    const module = await importModule(pathToFileURL(sourceFile).href);
    const names = namesOf(module);
    const value = await names[exportName];
    const found = describeExports(names, exportName, value);
    const refuse = (expected: string): ProjectError =>
      new ProjectError(`${file}: ${place}: ${modulePath} ${found}; "${exportName}" must be ${expected}`);
    return { value, sourceFile, exportName, refuse };
  } catch (cause) {
    throw new ProjectError(`${file}: ${place}: ${modulePath} failed to load: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** A CommonJS module arrives whole as `default`; where it was an ES module once, it says itself what its default is. */
function namesOf(module: Record<string, unknown>): Record<string, unknown> {
  // Read once: an export may be a getter, and a promise that it makes must not be left to itself.
  const { default: inDefault, ...names } = module;
  const whole = inDefault as Record<string, unknown> | undefined;
  if (whole?.__esModule === true || inDefault === undefined) return { ...whole, ...names };
  return { ...whole, ...names, default: inDefault };
}

function splitTarget(target: string): [string, string] {
  const at = target.lastIndexOf(":");
  if (at < 0) return [target, "default"];
  return [target.slice(0, at), target.slice(at + 1) || "default"];
}

function describeExports(names: Record<string, unknown>, wanted: string, value: unknown): string {
  const offered = Object.keys(names).filter((name) => name === wanted || !cjsNames.has(name));
  const exports = `exports ${offered.join(", ") || "nothing"}`;
  return offered.includes(wanted) ? `${exports}, and "${wanted}" is ${kindOf(value)}` : exports;
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  const maker = (value as { constructor?: { name?: string } }).constructor?.name;
  return maker === undefined || maker === "Object" ? "a plain object" : `an instance of ${maker}`;
}
