import { Hono } from "hono";
import { z } from "zod";
import { searchAssistants } from "../../db/queries/assistants.ts";
import { findAssistant } from "../assistant.ts";
import { readInput } from "../body.ts";
import type { HttpDeps, HttpEnv, RequestContext } from "../deps.ts";
import { pageHeaders, presentAssistant, selected } from "../present.ts";
import { flag, limit, metadata, offset, pageSizeDefault, pageSizeMax, shortText } from "../schemas/common.ts";

const countBody = z.object({
  graph_id: shortText.nullish(),
  name: shortText.nullish(),
  metadata: metadata.nullish(),
});
const searchBody = countBody.extend({
  limit: limit.default(pageSizeDefault),
  offset,
  select: z.array(shortText).max(20).nullish(),
});

/** Assistants are made from langgraph.json; over HTTP they are read only. */
export function assistantRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/assistants/search", (c) => search(deps, c));
  routes.post("/assistants/count", (c) => count(deps, c));
  routes.get("/assistants/:assistant_id", async (c) => {
    return c.json(presentAssistant(await findAssistant(deps, c.req.param("assistant_id"))));
  });
  routes.get("/assistants/:assistant_id/graph", (c) => drawing(deps, c));
  return routes;
}

/** Nodes and edges, for clients that draw the graph. */
async function drawing(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const { graph_id, config } = await findAssistant(deps, c.req.param("assistant_id") ?? "");
  const graph = await deps.registry.open(graph_id, { configurable: config.configurable ?? {} });
  return c.json((await graph.getGraphAsync({ xray: flag(c, "xray") })).toJSON());
}

async function search({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, searchBody, config.bodyBytesMax);
  const { limit, offset, select } = body;
  const found = await searchAssistants(db, { ...filterOf(body), limit, offset });
  const headers = pageHeaders({ total: found[0]?.total ?? 0, limit, offset });
  const shown = found.map(({ assistant }) =>
    selected(presentAssistant(assistant), { select, idField: "assistant_id" }),
  );
  return c.json(shown, 200, headers);
}

async function count({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, countBody, config.bodyBytesMax);
  const found = await searchAssistants(db, { ...filterOf(body), limit: pageSizeMax, offset: 0 });
  return c.json(found[0]?.total ?? 0);
}

const filterOf = ({ graph_id, name, metadata: told }: z.infer<typeof countBody>) => ({
  graphId: graph_id ?? null,
  name: name ?? null,
  metadata: told ?? null,
});
