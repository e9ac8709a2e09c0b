import { createHash } from "node:crypto";
import { access, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { CompiledStateGraph, Pregel } from "@langchain/langgraph";
import { z } from "zod";
import { NotFound } from "../domain/errors.ts";

/** Any compiled graph; its state is its own business. */
// biome-ignore lint/suspicious/noExplicitAny: the graphs of other people have every type there is
export type Graph = CompiledStateGraph<any, any, any, any, any, any>;

const graphEntry = z.union([
  z.string(),
  z.object({ path: z.string(), description: z.string().optional(), version: z.string().optional() }),
]);
const projectFile = z.object({ graphs: z.record(z.string().min(1), graphEntry) });

const filesPerGraphMax = 200;
/** What the module system itself adds to a CommonJS module. */
const cjsNames = new Set(["default", "module.exports", "__esModule"]);

export class ProjectError extends Error {
  override readonly name = "ProjectError";
}

interface Source {
  exported: unknown;
  declaredVersion: string | undefined;
  /** Digest of the graph's folder: helpers beside the graph change what its nodes do, too. */
  folderDigest: string;
}

export interface Registry {
  readonly graphIds: string[];
  /** A graph of this run's own: shares nodes with others, but nothing that a run changes. Throws NotFound. */
  open(graphId: string, config: Record<string, unknown>): Promise<Graph>;
  /** The declared version, or a digest of the graph's folder, its nodes, edges and functions. */
  version(graphId: string, graph: Graph): string;
  has(graphId: string): boolean;
}

/**
 * Loads every graph that `langgraph.json` names, so that a wrong one is found at start.
 * Throws ProjectError naming the file, the graph and what was expected.
 */
export async function loadRegistry(
  file: string,
  importModule: (url: string) => Promise<Record<string, unknown>>,
): Promise<Registry> {
  const entries = await readProject(file);
  const sources = new Map<string, Source>();
  for (const [graphId, entry] of Object.entries(entries)) {
    const { path: target, version } = typeof entry === "string" ? { path: entry, version: undefined } : entry;
    const exported = await importExport({ file, graphId, target, importModule });
    const folder = path.dirname(path.resolve(path.dirname(file), target));
    sources.set(graphId, { exported, declaredVersion: version, folderDigest: await digestOfFolder(folder) });
  }
  return {
    graphIds: [...sources.keys()],
    has: (graphId) => sources.has(graphId),
    open: async (graphId, config) =>
      ownCopy(await compiled(sourceOf(sources, graphId).exported, { graphId, config })),
    version: (graphId, graph) => {
      const { declaredVersion, folderDigest } = sourceOf(sources, graphId);
      return declaredVersion ?? digestOf(graph, folderDigest);
    },
  };
}

async function readProject(file: string): Promise<z.infer<typeof projectFile>["graphs"]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new ProjectError(`${file} cannot be read: it must list the graphs to serve`, { cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ProjectError(`${file} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = projectFile.safeParse(json);
  if (!parsed.success) throw new ProjectError(`${file}:\n${z.prettifyError(parsed.error)}`);
  return parsed.data.graphs;
}

interface Target {
  file: string;
  graphId: string;
  target: string;
  importModule: (url: string) => Promise<Record<string, unknown>>;
}

async function importExport({ file, graphId, target, importModule }: Target): Promise<unknown> {
  const [modulePath, exportName] = splitTarget(target);
  if (modulePath === undefined || exportName === undefined) {
    throw new ProjectError(
      `${file}: graph ${graphId} is "${target}", expected "./path/to/file.ts:exportName"`,
    );
  }
  const full = path.resolve(path.dirname(file), modulePath);
  await access(full).catch((cause) => {
    throw new ProjectError(
      `${file}: graph ${graphId} names ${modulePath}, but there is no such file (${full})`,
      { cause },
    );
  });
  let module: Record<string, unknown>;
  try {
    module = await importModule(pathToFileURL(full).href);
  } catch (cause) {
    throw new ProjectError(
      `${file}: graph ${graphId}: ${modulePath} failed to load: ${(cause as Error).message}`,
      { cause },
    );
  }
  // A CommonJS module arrives whole as `default`.
  const names = { ...(module.default as Record<string, unknown> | undefined), ...module };
  const exported = await names[exportName];
  if (!isGraphLike(exported)) {
    const offered =
      Object.keys(names)
        .filter((name) => !cjsNames.has(name))
        .join(", ") || "nothing";
    throw new ProjectError(
      `${file}: graph ${graphId}: ${modulePath} exports ${offered}; "${exportName}" must be a graph, a graph builder or a function that returns one`,
    );
  }
  return exported;
}

function splitTarget(target: string): [string?, string?] {
  const at = target.lastIndexOf(":");
  return at > 0 && at < target.length - 1 ? [target.slice(0, at), target.slice(at + 1)] : [];
}

const isCompiled = (value: unknown): value is Graph =>
  typeof value === "object" && value !== null && "lg_is_pregel" in value && value.lg_is_pregel === true;
const isBuilder = (value: unknown): value is { compile: () => unknown } =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as { compile?: unknown }).compile === "function";
const isGraphLike = (value: unknown): boolean =>
  typeof value === "function" || isCompiled(value) || isBuilder(value);

function sourceOf(sources: Map<string, Source>, graphId: string): Source {
  const source = sources.get(graphId);
  if (source === undefined) throw new NotFound(`Graph ${graphId} not found`);
  return source;
}

async function compiled(
  exported: unknown,
  told: { graphId: string; config: Record<string, unknown> },
): Promise<Graph> {
  const made: unknown = typeof exported === "function" ? await built(exported as Factory, told) : exported;
  const graph: unknown = isCompiled(made) ? made : isBuilder(made) ? made.compile() : undefined;
  if (isCompiled(graph)) return graph;
  throw new ProjectError(`graph ${told.graphId}: its function returned no graph`);
}

type Factory = (config: Record<string, unknown>) => unknown;

async function built(
  factory: Factory,
  { graphId, config }: { graphId: string; config: Record<string, unknown> },
): Promise<unknown> {
  try {
    return await factory(config);
  } catch (cause) {
    throw new ProjectError(
      `graph ${graphId}: its function failed while it made the graph: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

/** The compiled graph of the module is shared by all runs, so it is never written to. */
function ownCopy(graph: Graph): Graph {
  return Object.assign(Object.create(Object.getPrototypeOf(graph)), graph) as Graph;
}

async function digestOfFolder(folder: string): Promise<string> {
  const hash = createHash("sha256");
  const top = await readdir(folder);
  // A graph in the project's own root: its packages are not part of it.
  const found = top.includes("node_modules") ? top : await readdir(folder, { recursive: true });
  const names = found.filter((name) => /\.[cm]?[jt]sx?$/.test(name)).sort();
  for (const name of names.slice(0, filesPerGraphMax))
    hash.update(name).update(await readFile(path.join(folder, name)));
  return hash.digest("hex");
}

function digestOf(graph: Graph, folderDigest: string): string {
  const told: unknown[] = [folderDigest, shapeOf(graph)];
  for (const [namespace, child] of graph.getSubgraphs(undefined, true))
    told.push([namespace, shapeOf(child)]);
  return createHash("sha256").update(JSON.stringify(told)).digest("hex").slice(0, 16);
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function shapeOf(graph: Pregel<any, any>): unknown {
  return Object.entries(graph.nodes as Record<string, { triggers: string[]; bound?: { func?: unknown } }>)
    .map(([name, node]) => [name, [...node.triggers].sort(), String(node.bound?.func ?? "")])
    .sort(([a], [b]) => String(a).localeCompare(String(b)));
}
