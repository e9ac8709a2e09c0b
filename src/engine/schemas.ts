import { StateSchema } from "@langchain/langgraph";
import {
  getConfigTypeSchema,
  getInputTypeSchema,
  getOutputTypeSchema,
  getUpdateTypeSchema,
} from "@langchain/langgraph/zod/schema";
import type { Graph } from "./registry.ts";

/** As JSON schema; null where the graph does not say: `Annotation` keeps no types. */
export interface GraphSchemas {
  state: unknown;
  input: unknown;
  output: unknown;
  config: unknown;
}

/** A graph that was not made by a builder has none. */
interface Built {
  builder?: { _schemaRuntimeDefinition?: unknown };
}

const subgraphsMax = 1_000;

/** Schemas of a graph whose state is a `StateSchema` or written in zod. */
export function schemasOf(graph: object): GraphSchemas {
  return {
    state: jsonSchema(() => stateSchema(graph)),
    input: jsonSchema(() => getInputTypeSchema(graph)),
    output: jsonSchema(() => getOutputTypeSchema(graph)),
    config: jsonSchema(() => getConfigTypeSchema(graph)),
  };
}

/** As the Agent Server shows it: a `StateSchema` as it is, zod as what a node may return. */
function stateSchema(graph: object): unknown {
  const { builder } = graph as Built;
  const declared = builder?._schemaRuntimeDefinition;
  return StateSchema.isInstance(declared) ? declared.getJsonSchema() : getUpdateTypeSchema(graph);
}

/** A schema may hold types that JSON has none for; a client can do without it, as it does for graphs that have no schema. */
function jsonSchema(make: () => unknown): unknown {
  try {
    return make() ?? null;
  } catch {
    return null;
  }
}

const knowsNothing = (schemas: GraphSchemas): boolean =>
  Object.values(schemas).every((schema) => schema === null);

/** What a graph says itself; where it says nothing, what its source says. */
export async function schemasWith(
  said: GraphSchemas,
  fromSource: () => Promise<GraphSchemas | undefined>,
): Promise<GraphSchemas> {
  return knowsNothing(said) ? ((await fromSource()) ?? said) : said;
}

/** By the names of the nodes that lead to them, joined by `|`. */
export function subgraphSchemas(
  graph: Graph,
  { namespace, recurse }: { namespace: string | undefined; recurse: boolean },
): Record<string, GraphSchemas> {
  const found: [string, GraphSchemas][] = [];
  for (const [name, subgraph] of graph.getSubgraphs(namespace, recurse)) {
    if (found.push([name, schemasOf(subgraph)]) >= subgraphsMax) break;
  }
  return Object.fromEntries(found);
}
