import type { AddressInfo } from "node:net";
import { serve, type WebSocketServerLike } from "@hono/node-server";
import { WebSocketServer } from "ws";
import { httpDefaults } from "./deps.ts";

/** Open streams get this long to end by themselves. */
const closeMillisMax = 2_000;
const goingAway = 1001;

/** Listens until stopped; port 0 takes a free one. Rejects when the address is taken. */
export function listen({
  app,
  host,
  port,
  messageBytesMax = httpDefaults.bodyBytesMax,
}: {
  app: { fetch: (request: Request) => Response | Promise<Response> };
  host: string;
  port: number;
  /** Larger messages of a WebSocket close it. */
  messageBytesMax?: number;
}): Promise<{ url: string; stop(): Promise<void> }> {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: messageBytesMax });
  // It is what the adapter asks for; the types of the two packages disagree about optional properties.
  const websocket = { server: sockets as unknown as WebSocketServerLike };
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port, websocket }, (info: AddressInfo) => {
      server.off("error", reject);
      const shown = info.family === "IPv6" ? `[${info.address}]` : info.address;
      resolve({ url: `http://${shown}:${info.port}`, stop });
    });
    server.once("error", reject);
    const stop = (): Promise<void> =>
      new Promise((closed) => {
        for (const socket of sockets.clients) socket.close(goingAway, "the server stops");
        const timer = setTimeout(() => {
          (server as { closeAllConnections?: () => void }).closeAllConnections?.();
          for (const socket of sockets.clients) socket.terminate();
        }, closeMillisMax);
        server.close(() => {
          clearTimeout(timer);
          closed();
        });
      });
  });
}
