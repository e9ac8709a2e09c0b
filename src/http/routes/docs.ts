import { Hono } from "hono";
import type { HttpDeps, HttpEnv } from "../deps.ts";
import { makeDocument, type OpenApiDocument } from "../openapi/document.ts";
import { operations } from "../openapi/operations.ts";
import { documentPage, pageHeaders } from "../openapi/page.ts";

/** What every route takes and gives: for machines, and as a page. */
export function docsRoutes({ config }: Pick<HttpDeps, "config">): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  let made: OpenApiDocument | undefined;
  const document = (): OpenApiDocument => {
    made ??= makeDocument(operations, config.version);
    return made;
  };
  routes.get("/openapi.json", (c) => c.json(document()));
  routes.get("/docs", async (c) => c.html(await documentPage(document()), 200, pageHeaders));
  return routes;
}
