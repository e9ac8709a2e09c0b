import { Hono } from "hono";
import { itemsNear, vectorsOf } from "../../checkpoint/store-index.ts";
import * as items from "../../db/queries/store.ts";
import { searchItems } from "../../db/queries/store-search.ts";
import { one } from "../../db/query.ts";
import { InvalidInput } from "../../domain/errors.ts";
import {
  conditionsOf,
  keyFault,
  namespaceFault,
  pageBytesMax,
  placeFault,
  valueBytesMax,
} from "../../domain/store-item.ts";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { Refused } from "../errors.ts";
import { readQuery } from "../schemas/common.ts";
import {
  deleteItemBody,
  getItemQuery,
  listNamespacesBody,
  putItemBody,
  searchItemsBody,
} from "../schemas/store.ts";

/** Long-term memory over HTTP: the same items that the graphs of the tenant see. */
export function storeRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.put("/store/items", (c) => put(deps, c));
  routes.get("/store/items", (c) => get(deps, c));
  routes.delete("/store/items", (c) => remove(deps, c));
  routes.post("/store/items/search", (c) => search(deps, c));
  routes.post("/store/namespaces", (c) => list(deps, c));
  return routes;
}

async function put({ db, config, storeIndex: index }: HttpDeps, c: RequestContext): Promise<Response> {
  const {
    namespace,
    key,
    value,
    ttl,
    index: fields = null,
  } = await readInput(c, putItemBody, config.bodyBytesMax);
  if (namespace.length === 0) throw new Refused(400, "Namespace is required");
  refuse(placeFault(namespace));
  refuse(keyFault(key));
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > valueBytesMax)
    throw new InvalidInput(`value: may have ${valueBytesMax} bytes at most`, { field: "value" });
  const vectors = index === null ? [] : await vectorsOf(index, value, fields);
  await items.putItem(db, {
    tenant: tenantOf(c),
    namespace,
    key,
    value: text,
    ttlMinutes: ttl ?? null,
    vectors,
    model: index?.name ?? null,
  });
  return c.body(null, 204);
}

async function get({ db }: HttpDeps, c: RequestContext): Promise<Response> {
  const { namespace, key, refresh_ttl: refreshTtl } = readQuery(c, getItemQuery);
  refuse(namespaceFault(namespace));
  refuse(keyFault(key));
  return c.json(one(await items.getItem(db, { tenant: tenantOf(c), namespace, key, refreshTtl })) ?? null);
}

async function remove({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const { namespace, key } = await readInput(c, deleteItemBody, config.bodyBytesMax);
  refuse(namespaceFault(namespace));
  refuse(keyFault(key));
  await items.deleteItem(db, { tenant: tenantOf(c), namespace, key });
  return c.body(null, 204);
}

async function search({ db, config, storeIndex: index }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, searchItemsBody, config.bodyBytesMax);
  refuse(namespaceFault(body.namespace_prefix));
  const search = {
    tenant: tenantOf(c),
    prefix: body.namespace_prefix,
    conditions: conditionsOf(body.filter ?? {}),
    limit: body.limit,
    offset: body.offset,
    refreshTtl: body.refresh_ttl ?? true,
  };
  if (body.query && index === null)
    throw new InvalidInput(
      "query: this server has no index to search by meaning: store.index of langgraph.json makes one; filter and namespace_prefix work",
      { field: "query" },
    );
  const found =
    body.query && index !== null
      ? await itemsNear({ db, index }, { ...search, asked: body.query })
      : await searchItems(db, { ...search, bytesMax: pageBytesMax });
  if (found.some(({ value }) => value === null))
    throw new InvalidInput(`limit: these items have more than ${pageBytesMax} bytes, ask for fewer`, {
      field: "limit",
    });
  return c.json({ items: found });
}

async function list({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, listNamespacesBody, config.bodyBytesMax);
  const matches = (["prefix", "suffix"] as const).map((matchType) => ({
    matchType,
    path: body[matchType] ?? [],
  }));
  for (const { path } of matches) refuse(namespaceFault(path));
  const namespaces = await items.listNamespaces(db, {
    tenant: tenantOf(c),
    matches,
    depthMax: body.max_depth ?? null,
    limit: body.limit,
    offset: body.offset,
  });
  return c.json({ namespaces });
}

/** In plain text, as the Agent Server has it. */
function refuse(fault: string | null): void {
  if (fault !== null) throw new Refused(422, fault);
}
