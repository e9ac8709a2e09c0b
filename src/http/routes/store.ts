import { Hono } from "hono";
import { itemsNear, vectorsOf } from "../../checkpoint/store-index.ts";
import * as items from "../../db/queries/store.ts";
import { accessConditions, type ItemRow } from "../../db/queries/store-fragments.ts";
import { searchItems } from "../../db/queries/store-search.ts";
import { one } from "../../db/query.ts";
import { type AccessFilter, passes } from "../../domain/access.ts";
import { InvalidInput, NotFound } from "../../domain/errors.ts";
import { forever } from "../../domain/lifetimes.ts";
import {
  conditionsOf,
  keyFault,
  namespaceFault,
  pageBytesMax,
  placeFault,
  valueBytesMax,
} from "../../domain/store-item.ts";
import { parseInput, readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { Refused } from "../errors.ts";
import { ask } from "../guard.ts";
import type { AuthEvent } from "../program-auth.ts";
import { readQuery } from "../schemas/common.ts";
import {
  deleteItemBody,
  getItemQuery,
  listNamespacesBody,
  placeOfItems,
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

async function put(
  { db, config, storeIndex: index, lifetimes = forever }: HttpDeps,
  c: RequestContext,
): Promise<Response> {
  const { ttl, index: fields = null, ...sent } = await readInput(c, putItemBody, config.bodyBytesMax);
  const { told, access } = await permitted(c, "store:put", sent);
  const { namespace, key, value } = parseInput(putItemBody, told);
  if (namespace.length === 0) throw new Refused(400, "Namespace is required");
  refuse(placeFault(namespace));
  refuse(keyFault(key));
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > valueBytesMax)
    throw new InvalidInput(`value: may have ${valueBytesMax} bytes at most`, { field: "value" });
  if (!passes({ ...value, namespace, key }, access)) throw new Refused(403, "Not authorized");
  const vectors = index === null ? [] : await vectorsOf(index, value, fields);
  const put = await items.putItem(db, {
    access,
    tenant: tenantOf(c),
    namespace,
    key,
    value: text,
    ttlMinutes: ttl === undefined ? lifetimes.itemMinutes : ttl,
    vectors,
    model: index?.name ?? null,
  });
  if (put.length === 0) throw new NotFound("Item not found");
  return c.body(null, 204);
}

async function get({ db, lifetimes = forever }: HttpDeps, c: RequestContext): Promise<Response> {
  const { refresh_ttl: refreshTtl = lifetimes.refreshOnRead, ...sent } = readQuery(c, getItemQuery);
  const { told, access } = await permitted(c, "store:get", sent);
  const { namespace, key } = parseInput(deleteItemBody, told);
  refuse(namespaceFault(namespace));
  refuse(keyFault(key));
  const item = one(await items.getItem(db, { tenant: tenantOf(c), namespace, key, refreshTtl }));
  refuseHidden(item, access);
  return c.json(item ?? null);
}

async function remove({ db, config }: HttpDeps, c: RequestContext): Promise<Response> {
  const sent = await readInput(c, deleteItemBody, config.bodyBytesMax);
  const { told, access } = await permitted(c, "store:delete", sent);
  const { namespace, key } = parseInput(deleteItemBody, told);
  refuse(namespaceFault(namespace));
  refuse(keyFault(key));
  const place = { tenant: tenantOf(c), namespace, key };
  if (access !== null) refuseHidden(one(await items.getItem(db, { ...place, refreshTtl: false })), access);
  await items.deleteItem(db, { ...place, access });
  return c.body(null, 204);
}

async function search(
  { db, config, storeIndex: index, lifetimes = forever }: HttpDeps,
  c: RequestContext,
): Promise<Response> {
  const body = await readInput(c, searchItemsBody, config.bodyBytesMax);
  const { namespace_prefix: namespace, filter, limit, offset, query } = body;
  const { told, access } = await permitted(c, "store:search", { namespace, filter, limit, offset, query });
  const prefix = parseInput(placeOfItems, told).namespace;
  refuse(namespaceFault(prefix));
  const search = {
    tenant: tenantOf(c),
    prefix,
    conditions: [...conditionsOf(filter ?? {}), ...accessConditions(access)],
    limit: body.limit,
    offset: body.offset,
    refreshTtl: body.refresh_ttl ?? lifetimes.refreshOnRead,
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
  const { prefix, suffix, max_depth, limit, offset } = body;
  const asked = { namespace: prefix ?? [], suffix, max_depth, limit, offset };
  const { told, access } = await permitted(c, "store:list_namespaces", asked);
  const matches = [
    { matchType: "prefix" as const, path: parseInput(placeOfItems, told).namespace },
    { matchType: "suffix" as const, path: suffix ?? [] },
  ];
  for (const { path } of matches) refuse(namespaceFault(path));
  const namespaces = await items.listNamespaces(db, {
    tenant: tenantOf(c),
    matches,
    depthMax: max_depth ?? null,
    limit,
    offset,
    access,
  });
  return c.json({ namespaces });
}

/** What the program's own auth makes of it: handlers may move a request to another namespace. */
async function permitted<T extends object>(
  c: RequestContext,
  event: Extract<AuthEvent, `store:${string}`>,
  sent: T,
): Promise<{ told: T; access: AccessFilter | null }> {
  const told = { ...sent };
  return { access: await ask(c.get("principal"), event, told), told };
}

function refuseHidden(item: ItemRow | undefined, access: AccessFilter | null): void {
  if (item === undefined) return;
  const { value, namespace, key } = item;
  if (!passes({ ...value, namespace, key }, access)) throw new NotFound("Item not found");
}

/** In plain text, as the Agent Server has it. */
function refuse(fault: string | null): void {
  if (fault !== null) throw new Refused(422, fault);
}
