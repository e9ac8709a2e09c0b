// What TypeScript says of a graph whose state is an `Annotation`: no value keeps its types, so the project's source is read,
// by the same program that the official dev server reads it with. It takes seconds and much memory, so it is a process of its own.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import type { Log } from "../observe/log.ts";
import type { Registry } from "./registry.ts";
import type { GraphSchemas } from "./schemas.ts";

const reader = "@langchain/langgraph-api/schema";
const heapMegabytesMax = 1_024;
const outputBytesMax = 4 * 1024 * 1024;

const schema = z
  .unknown()
  .optional()
  .transform((value) => value ?? null);
const schemas = z.object({ state: schema, input: schema, output: schema, config: schema });
/** The graph's own under its name, those of subgraphs as `name|path`. */
const read = z.record(z.string(), schemas);

/** Run with the module that reads, the source file and the export. Whatever else it prints comes before its last line. */
const program = `
const [url, sourceFile, exportSymbol] = process.argv.slice(1);
const { getStaticGraphSchema } = await import(url);
const schemas = await getStaticGraphSchema({ sourceFile, exportSymbol }, { mainThread: true });
process.stdout.write("\\n" + JSON.stringify(schemas));`;

const run = promisify(execFile);

export class TypescriptSchemas {
  readonly #registry: Pick<Registry, "source">;
  readonly #log: Log;
  /** 0: no source is read. */
  readonly #secondsMax: number;
  /** What could not be read stays so until the next start: each look costs a process. */
  readonly #known = new Map<string, Promise<Record<string, GraphSchemas>>>();
  /** One at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    { registry, log }: { registry: Pick<Registry, "source">; log: Log },
    { secondsMax }: { secondsMax: number },
  ) {
    this.#registry = registry;
    this.#log = log;
    this.#secondsMax = secondsMax;
  }

  /** Of a graph, under "", and of its subgraphs, by the names of the nodes that lead to them. Empty where it cannot be said. */
  async of(graphId: string): Promise<Record<string, GraphSchemas>> {
    if (this.#secondsMax === 0) return {};
    const known = this.#known.get(graphId);
    if (known !== undefined) return known;
    const found = this.#last.then(() => this.#read(graphId));
    this.#last = found;
    this.#known.set(graphId, found);
    return found;
  }

  async #read(graphId: string): Promise<Record<string, GraphSchemas>> {
    const { file, exportName } = this.#registry.source(graphId);
    const url = urlOfReader(file);
    if (url === undefined) {
      this.#log.info({ graph: graphId }, `its schemas are known where the project has ${reader}`);
      return {};
    }
    try {
      return bySubgraph(read.parse(await this.#ask([url, file, exportName])));
    } catch (error) {
      this.#log.warn({ error, graph: graphId }, "its schemas cannot be read from its source");
      return {};
    }
  }

  async #ask(args: string[]): Promise<unknown> {
    const flags = [`--max-old-space-size=${heapMegabytesMax}`, "--input-type=module", "--eval", program];
    const asked = run(process.execPath, [...flags, ...args], {
      signal: AbortSignal.timeout(this.#secondsMax * 1_000),
      killSignal: "SIGKILL",
      maxBuffer: outputBytesMax,
      // Nothing of what this process knows.
      env: {},
    });
    const { child } = asked;
    // A server that stops does not wait for it, and takes it along.
    child.unref();
    for (const pipe of [child.stdout, child.stderr]) if (pipe instanceof Socket) pipe.unref();
    const end = (): boolean => child.kill("SIGKILL");
    process.once("exit", end);
    try {
      const { stdout } = await asked;
      return JSON.parse(stdout.slice(stdout.lastIndexOf("\n") + 1));
    } finally {
      process.off("exit", end);
    }
  }
}

/** Undefined where neither the graph's project nor this program has it. */
function urlOfReader(sourceFile: string): string | undefined {
  try {
    return pathToFileURL(createRequire(sourceFile).resolve(reader)).href;
  } catch {
    return undefined;
  }
}

function bySubgraph(found: Record<string, GraphSchemas>): Record<string, GraphSchemas> {
  const root = Object.keys(found).find((name) => !name.includes("|"));
  if (root === undefined) return {};
  return Object.fromEntries(Object.entries(found).map(([name, of]) => [name.slice(root.length + 1), of]));
}
