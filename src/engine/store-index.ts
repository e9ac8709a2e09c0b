import type { Embed, StoreIndex } from "../checkpoint/store-index.ts";
import { type ImportModule, importExport } from "./exported.ts";
import { type Project, ProjectError } from "./project.ts";

/** A model of this provider needs no module of the project's. */
const openai = "openai:";
const otherProvider = /^[a-z][a-z0-9_-]+:[^/]+$/;

/**
 * What `store.index` of a langgraph.json says: which model makes vectors of texts, of how many numbers, and where the
 * texts are. Null where there is none. Throws ProjectError naming the field that is wrong.
 */
export async function loadStoreIndex(
  project: Pick<Project, "file" | "folder" | "store">,
  importModule: ImportModule,
): Promise<StoreIndex | null> {
  const { index } = project.store;
  if (index === undefined) return null;
  const { embed: target, dims: dimensions, fields } = index;
  const name = `${target}/${dimensions}`;
  if (target.startsWith(openai)) {
    const model = target.slice(openai.length);
    // Loaded only here: its packages are a fifth of all modules that a server loads to start.
    const { openaiEmbeddings } = await import("../models/embeddings.ts");
    // The key may be set after this: a worker without one starts a stand-in.
    const embed = (): Embed => embedOf(openaiEmbeddings({ model, dimensions })) as Embed;
    const later: Embed = {
      documents: async (texts) => embed().documents(texts),
      query: async (text) => embed().query(text),
    };
    return { name, dimensions, fields, embed: later };
  }
  if (otherProvider.test(target) && !target.startsWith("."))
    throw new ProjectError(
      `${project.file}: store.index.embed is "${target}": of the providers only "openai:…" is known here; for another one name a module, "./path/to/file.ts:exportName", that exports its Embeddings`,
    );
  const { value, refuse } = await importExport({ project, place: "store.index.embed", target, importModule });
  const embed = embedOf(value);
  if (embed === null) throw refuse("Embeddings of LangChain, or a function from texts to vectors");
  return { name, dimensions, fields, embed };
}

interface Embeddings {
  embedDocuments(texts: string[]): Promise<number[][]>;
  embedQuery(text: string): Promise<number[]>;
}

const isEmbeddings = (value: unknown): value is Embeddings =>
  typeof value === "object" && value !== null && "embedDocuments" in value && "embedQuery" in value;

function embedOf(value: unknown): Embed | null {
  if (isEmbeddings(value)) {
    return { documents: (texts) => value.embedDocuments(texts), query: (text) => value.embedQuery(text) };
  }
  if (typeof value !== "function") return null;
  const embed = value as (texts: string[]) => Promise<number[][]> | number[][];
  return {
    documents: async (texts) => embed(texts),
    query: async (text) => (await embed([text]))[0] ?? [],
  };
}
