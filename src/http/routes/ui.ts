import path from "node:path";
import { Hono } from "hono";
import { getMimeType } from "hono/utils/mime";
import { readInput } from "../body.ts";
import type { HttpDeps, HttpEnv, RequestContext } from "../deps.ts";
import { Refused } from "../errors.ts";
import { componentBody } from "../schemas/ui.ts";

const hostShape = /^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i;
const onThisMachine = /^(localhost|127\.0\.0\.1)(:|$)/;

/** What `LoadExternalComponent` of the SDK asks for: a piece of HTML, and the files that it names. */
export function uiRoutes({ config, programUi }: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/ui/:agent", async (c) => {
    const { name } = await readInput(c, componentBody, config.bodyBytesMax);
    const agent = c.req.param("agent");
    const files = programUi?.get(agent);
    if (files === undefined) throw new Refused(404, `UI not found for agent "${agent}"`);
    return c.html(
      htmlOf(`${hostOf(c)}${config.basePath ?? ""}/ui`, { agent, name, basenames: [...files.keys()] }),
    );
  });
  routes.get("/ui/:agent/:basename", (c) => {
    const basename = c.req.param("basename");
    const contents = programUi?.get(c.req.param("agent"))?.get(basename);
    if (contents === undefined) throw new Refused(404, "File not found");
    return c.body(new Uint8Array(contents), 200, { "content-type": getMimeType(basename) ?? "text/plain" });
  });
  return routes;
}

/** The page may be anywhere: its files are named with the host that it has asked. */
function hostOf(c: RequestContext): string {
  const host = c.req.header("host") ?? new URL(c.req.url).host;
  if (!hostShape.test(host)) throw new Refused(400, "The header Host is not a host");
  return `${onThisMachine.test(host) ? "http:" : ""}//${host}`;
}

/** With the Agent Server's names: `{{shadowRootId}}` is put in by the SDK, `__LGUI_…` is what the bundle is called. */
function htmlOf(
  base: string,
  { agent, name, basenames }: { agent: string; name: string; basenames: string[] },
): string {
  const urlOf = (basename: string): string =>
    `${base}/${encodeURIComponent(agent)}/${encodeURIComponent(basename)}`;
  const styles = basenames
    .filter((basename) => path.extname(basename) === ".css")
    .map((basename) => `<link rel="stylesheet" href="${urlOf(basename)}" />`);
  const script = basenames.find((basename) => path.extname(basename) === ".js");
  const bundle = `__LGUI_${agent.replace(/[^a-zA-Z0-9]/g, "_")}`;
  const render = `${bundle}.render(${inQuotes(JSON.stringify(name))}, "{{shadowRootId}}")`;
  const scripts = script === undefined ? [] : [`<script src="${urlOf(script)}" onload='${render}'></script>`];
  return [...styles, ...scripts].join("\n");
}

/** For an attribute in single quotes: a name must not end it. */
const inQuotes = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("'", "&#39;");
