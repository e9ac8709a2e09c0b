// A program that mounts the server below a path of its own, and ends by itself when it is told to stop.
import { once } from "node:events";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { WebSocketServer } from "ws";
import { openServer } from "../../../../dist/src/index.js";

const traps = () => process.listenerCount("unhandledRejection");
const before = traps();
const server = await openServer({
  settings: { DATABASE_URL: process.argv[2], LANGGRAPH_JSON: process.argv[3] },
  basePath: "/agents",
});
const host = new Hono();
host.get("/", (c) => c.text("the program's own page"));
host.mount("/agents", server.fetch);
const websocket = { server: new WebSocketServer({ noServer: true }) };
const listening = serve({ fetch: host.fetch, port: 0, hostname: "127.0.0.1", websocket });
await once(listening, "listening");
process.send({ url: `http://127.0.0.1:${listening.address().port}`, traps: traps() - before });

await once(process, "message");
listening.close();
listening.closeAllConnections();
await server.stop();
const { status } = await server.fetch(new Request("http://localhost/readyz"));
process.send({ status, traps: traps() - before });
process.disconnect();
