import { Hono } from "hono";
import type { HttpDeps, HttpEnv } from "../deps.ts";
import { makeDocument, type OpenApiDocument } from "../openapi/document.ts";
import type { Operation } from "../openapi/operation.ts";
import { operations } from "../openapi/operations.ts";
import { documentPage, pageHeaders } from "../openapi/page.ts";

/** What every route of the app takes and gives: for machines, and as a page. */
export function docsRoutes({ config }: Pick<HttpDeps, "config">, app: Pick<Hono, "routes">): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  let made: OpenApiDocument | undefined;
  // The program may have switched some off.
  const served = ({ method, path }: Operation): boolean =>
    app.routes.some((route) => route.path === path && route.method === method.toUpperCase());
  const document = (): OpenApiDocument => {
    made ??= makeDocument(operations.filter(served), config.version);
    return made;
  };
  routes.get("/openapi.json", (c) => c.json(document()));
  routes.get("/docs", async (c) => c.html(await documentPage(document()), 200, pageHeaders));
  return routes;
}
