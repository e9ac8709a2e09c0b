import { Hono } from "hono";
import type { Graph } from "../../engine/registry.ts";
import { type GraphSchemas, schemasOf, schemasWith, subgraphSchemas } from "../../engine/schemas.ts";
import type { HttpDeps, HttpEnv, RequestContext } from "../deps.ts";
import { drawingQuery } from "../schemas/assistant.ts";
import { flag, readQuery } from "../schemas/common.ts";
import { assistantOf } from "./assistants.ts";

/** What an assistant's graph looks like: drawn, and as schemas. */
export function graphRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  const base = "/assistants/:assistant_id";
  routes.get(`${base}/graph`, (c) => drawing(deps, c));
  routes.get(`${base}/schemas`, (c) => schemas(deps, c));
  routes.get(`${base}/subgraphs`, (c) => subgraphs(deps, c));
  routes.get(`${base}/subgraphs/:namespace`, (c) => subgraphs(deps, c));
  return routes;
}

async function graphOf(deps: HttpDeps, c: RequestContext): Promise<{ graphId: string; graph: Graph }> {
  const { graph_id: graphId, config } = await assistantOf(deps, c);
  return {
    graphId,
    graph: await deps.registry.open(graphId, { configurable: config.configurable ?? {} }),
  };
}

async function drawing(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { xray: asked } = readQuery(c, drawingQuery);
  const xray = typeof asked === "number" ? asked : flag(c, "xray");
  const { graph } = await graphOf(deps, c);
  return c.json((await graph.getGraphAsync({ xray })).toJSON());
}

async function schemas(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { graphId, graph } = await graphOf(deps, c);
  const fromSource = async () => (await deps.typescriptSchemas.of(graphId))[""];
  return c.json({ graph_id: graphId, ...wireForm(await schemasWith(schemasOf(graph), fromSource)) });
}

// LangGraph.js keeps one schema for what Python calls config and context.
const wireForm = ({ input, output, state, config }: GraphSchemas) => ({
  input_schema: input,
  output_schema: output,
  state_schema: state,
  config_schema: config,
  context_schema: config,
});

async function subgraphs(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const namespace = c.req.param("namespace");
  const { graphId, graph } = await graphOf(deps, c);
  const found = Object.entries(subgraphSchemas(graph, { namespace, recurse: flag(c, "recurse") }));
  const shown = found.map(async ([name, said]) => {
    const fromSource = async () => (await deps.typescriptSchemas.of(graphId))[name];
    return [name, await schemasWith(said, fromSource)] as const;
  });
  return c.json(Object.fromEntries(await Promise.all(shown)));
}
