// How modules of a project are loaded: TypeScript and JavaScript, ES modules and CommonJS, all with the server's own copy
// of LangGraph and of "holdfast".
import Module, { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { ImportModule } from "./engine/exported.ts";

/** Packages of which a process must have one copy: a run's context and its classes are theirs. */
const sharedPackages = ["@langchain/langgraph", "@langchain/core", "@langchain/langgraph-checkpoint"];
const shared = new RegExp(`^(holdfast|${sharedPackages.join("|")})(/|$)`);

type Load = (this: unknown, request: string, ...rest: unknown[]) => unknown;
type Compile = (this: unknown, module: unknown, file: string) => void;

/** What Node calls for every `require`. Without types, for it is not promised; tsx hooks into the same two. */
interface CommonJs {
  _load: Load;
  _extensions: { ".js": Compile };
}

/** A file that ends in `.mjs` says that Node can load it as it is: a project of nothing else starts without a compiler. */
export function openGraphModules(): ImportModule {
  const commonJs = Module as unknown as CommonJs;
  // Node before 20.19 and 22.12 cannot require an ES module: CommonJS graphs then have a second copy of LangGraph.
  const ours = "require_module" in process.features ? shareWithCommonJs(commonJs) : new Set<string>();
  let compiling: Promise<void> | undefined;
  return async (url) => {
    if (!new URL(url).pathname.endsWith(".mjs")) {
      compiling ??= openCompiler(commonJs, ours);
      await compiling;
    }
    return import(url);
  };
}

async function openCompiler(commonJs: CommonJs, ours: ReadonlySet<string>): Promise<void> {
  const compileAsNode = commonJs._extensions[".js"];
  const [esm, cjs] = await Promise.all([import("tsx/esm/api"), import("tsx/cjs/api")]);
  esm.register();
  // For projects whose package.json does not say "type": "module".
  cjs.register();
  const compile = commonJs._extensions[".js"];
  commonJs._extensions[".js"] = function compileShared(module, file) {
    (ours.has(file) ? compileAsNode : compile).call(this, module, file);
  };
}

/**
 * `require("@langchain/langgraph")` would load its CommonJS build, beside the ES modules that the server runs; and
 * `require("holdfast")` a copy that tsx compiles to CommonJS. Both get what the server has imported. Returns the files that
 * were required so, which nobody may compile.
 */
function shareWithCommonJs(commonJs: CommonJs): ReadonlySet<string> {
  const ours = new Set<string>();
  const load = commonJs._load;
  commonJs._load = function loadShared(request, ...rest) {
    const file = shared.test(request) ? moduleOf(request) : undefined;
    if (file === undefined) return load.call(this, request, ...rest);
    ours.add(file);
    return load.call(this, file, ...rest);
  };
  return ours;
}

function moduleOf(request: string): string | undefined {
  try {
    return fileURLToPath(import.meta.resolve(request));
  } catch {
    // No such module here: the project's own copy may have it.
    return undefined;
  }
}

/** Packages that the project would load from elsewhere than the server does, with both places. */
export function secondCopies(projectFolder: string): { name: string; ours: string; theirs: string }[] {
  return sharedPackages.flatMap((name) => {
    const ours = placeOf(name, import.meta.url);
    const theirs = placeOf(name, pathToFileURL(path.join(projectFolder, "graph.js")).href);
    return ours === undefined || theirs === undefined || ours === theirs ? [] : [{ name, ours, theirs }];
  });
}

function placeOf(name: string, from: string): string | undefined {
  try {
    return path.dirname(createRequire(from).resolve(name));
  } catch {
    return undefined;
  }
}
