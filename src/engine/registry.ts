import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { type CompiledStateGraph, type Pregel, START } from "@langchain/langgraph";
import { NotFound } from "../domain/errors.ts";
import { type Exported, type ImportModule, importExport, kindOf } from "./exported.ts";
import { ProjectError, readProject } from "./project.ts";

/** Any compiled graph; its state is its own business. */
// biome-ignore lint/suspicious/noExplicitAny: the graphs of other people have every type there is
export type Graph = CompiledStateGraph<any, any, any, any, any, any>;

/**
 * Whether LangGraph only hands the input on in the step behind it. A conditional entry asks a function there, and an
 * entrypoint of the functional API has all of its code in that step.
 */
export const handsInputOn = ({ nodes, builder }: Graph): boolean =>
  Object.hasOwn(nodes, START) && builder !== undefined && !Object.hasOwn(builder.branches, START);

const filesPerGraphMax = 200;
interface Source {
  exported: unknown;
  /** What a builder, or a compiled graph, is for every run; undefined when a function makes a new one each time. */
  shared: { graph: Graph; version: string } | undefined;
  declaredVersion: string | null;
  /** Digest of the graph's folder: helpers beside the graph change what its nodes do, too. */
  folderDigest: string;
  written: Written;
}

export interface Registry {
  readonly graphIds: string[];
  /** A graph of this run's own: shares nodes with others, but nothing that a run changes. Throws NotFound. */
  open(graphId: string, config: Record<string, unknown>): Promise<Graph>;
  /** The declared version, or a digest of the graph's folder, its nodes, edges and functions. */
  version(graphId: string, graph: Graph): string;
  has(graphId: string): boolean;
  /** Where it is written. Throws NotFound. */
  source(graphId: string): Written;
}

interface Written {
  file: string;
  exportName: string;
}

/**
 * Loads every graph that `langgraph.json` names, so that a wrong one is found at start.
 * Throws ProjectError naming the file, the graph and what was expected.
 */
export async function loadRegistry(file: string, importModule: ImportModule): Promise<Registry> {
  const project = await readProject(file);
  const sources = new Map<string, Source>();
  const folderDigests = new Map<string, string>();
  for (const [graphId, { path: target, version }] of Object.entries(project.graphs)) {
    const place = `graph ${graphId}`;
    const { value, sourceFile, exportName, refuse } = await importExport({
      project,
      place,
      target,
      importModule,
    });
    if (!isGraphLike(value)) throw refuse("a graph, a graph builder or a function that returns one");
    const folder = path.dirname(sourceFile);
    // Once for all graphs of a folder: it reads every file there.
    const folderDigest = folderDigests.get(folder) ?? (await digestOfFolder(folder));
    folderDigests.set(folder, folderDigest);
    const graph = typeof value === "function" ? undefined : compiledAtStart(value, refuse);
    const shared = graph && { graph, version: version ?? digestOf(graph, folderDigest) };
    const written = { file: sourceFile, exportName };
    sources.set(graphId, { exported: value, shared, declaredVersion: version, folderDigest, written });
  }
  return {
    graphIds: [...sources.keys()],
    has: (graphId) => sources.has(graphId),
    source: (graphId) => sourceOf(sources, graphId).written,
    open: async (graphId, config) => {
      const { shared, exported } = sourceOf(sources, graphId);
      return ownCopy(shared?.graph ?? (await compiled(exported, { graphId, config })));
    },
    version: (graphId, graph) => {
      const { shared, declaredVersion, folderDigest } = sourceOf(sources, graphId);
      if (shared !== undefined) return shared.version;
      return declaredVersion ?? digestOf(graph, folderDigest);
    },
  };
}

const isCompiled = (value: unknown): value is Graph =>
  typeof value === "object" && value !== null && "lg_is_pregel" in value && value.lg_is_pregel === true;
const isBuilder = (value: unknown): value is { compile: () => unknown } =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as { compile?: unknown }).compile === "function";
const isGraphLike = (value: unknown): boolean =>
  typeof value === "function" || graphIn(value) !== undefined || isBuilder(value);

/** The compiled graph that a value is, or wraps: an agent of `createAgent` keeps it as `graph`. */
function graphIn(value: unknown): Graph | undefined {
  if (isCompiled(value)) return value;
  const inner: unknown = typeof value === "object" && value !== null && "graph" in value ? value.graph : null;
  return isCompiled(inner) ? inner : undefined;
}

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
  const graph = graphOf(made);
  if (graph !== undefined) return graph;
  throw new ProjectError(`graph ${told.graphId}: its function returned ${kindOf(made)}, not a graph`);
}

function compiledAtStart(made: unknown, refuse: Exported["refuse"]): Graph | undefined {
  try {
    return graphOf(made);
  } catch (error) {
    throw refuse(`a graph that compiles: ${(error as Error).message}`);
  }
}

const graphOf = (made: unknown): Graph | undefined =>
  graphIn(made) ?? (isBuilder(made) ? graphIn(made.compile()) : undefined);

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
  const recursive = !top.includes("node_modules");
  const names = (await sourcesIn(folder, { recursive })).map((file) => path.relative(folder, file)).sort();
  for (const name of names.slice(0, filesPerGraphMax)) {
    const text = await whileThere(readFile(path.join(folder, name)));
    if (text !== undefined) hash.update(name).update(text);
  }
  return hash.digest("hex");
}

async function sourcesIn(folder: string, { recursive }: { recursive: boolean }): Promise<string[]> {
  const entries = (await whileThere(readdir(folder, { withFileTypes: true }))) ?? [];
  const found: string[] = [];
  for (const entry of entries) {
    const place = path.join(folder, entry.name);
    if (entry.isFile() && /\.[cm]?[jt]sx?$/.test(entry.name)) found.push(place);
    else if (recursive && entry.isDirectory() && entry.name !== "node_modules")
      found.push(...(await sourcesIn(place, { recursive })));
  }
  return found;
}

/** Undefined for what has gone since it was listed: editors make files that live for moments. */
async function whileThere<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
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
