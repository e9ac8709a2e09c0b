import { once } from "node:events";
import { createServer, type Server } from "node:http";
import path from "node:path";
import { build } from "esbuild";

const pages = ["chat", "weather"] as const;
export type PageName = (typeof pages)[number];

/** A page for each program of the folder `page`, under its name. */
export async function serveSite(): Promise<Server> {
  const { outputFiles } = await build({
    entryPoints: pages.map((name) => path.join(import.meta.dirname, "page", `${name}.tsx`)),
    bundle: true,
    write: false,
    outdir: "/",
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const scripts = new Map(outputFiles.map(({ path: file, text }) => [`/${path.basename(file)}`, text]));
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://site");
    const script = scripts.get(pathname);
    const html = `<!doctype html><div id="root"></div><script type="module" src="${pathname}.js"></script>`;
    const type = script === undefined ? "text/html" : "text/javascript";
    response.setHeader("content-type", `${type}; charset=utf-8`);
    response.end(script ?? html);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
