import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";

/** Open streams get this long to end by themselves. */
const closeMillisMax = 2_000;

/** Listens until stopped; port 0 takes a free one. Rejects when the address is taken. */
export function listen({
  app,
  host,
  port,
}: {
  app: { fetch: (request: Request) => Response | Promise<Response> };
  host: string;
  port: number;
}): Promise<{ url: string; stop(): Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, (info: AddressInfo) => {
      server.off("error", reject);
      const shown = info.family === "IPv6" ? `[${info.address}]` : info.address;
      resolve({ url: `http://${shown}:${info.port}`, stop });
    });
    server.once("error", reject);
    const stop = (): Promise<void> =>
      new Promise((closed) => {
        const timer = setTimeout(
          () => (server as { closeAllConnections?: () => void }).closeAllConnections?.(),
          closeMillisMax,
        );
        server.close(() => {
          clearTimeout(timer);
          closed();
        });
      });
  });
}
