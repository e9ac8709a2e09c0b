import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What the world got, whatever the server's own tables say. */
export interface World {
  url: string;
  payments: string[];
  letters: string[];
  stop(): Promise<void>;
}

/**
 * A bank and a post office that do what they are told, write it down, and drop the line before they have answered.
 * The bank can be asked about a payment by its key.
 */
export async function startWorld(): Promise<World> {
  const done = { payments: [] as string[], letters: [] as string[] };
  const server = createServer((request, response) => {
    const [, place = "", key] = (request.url ?? "").split("/");
    if (request.method === "GET") {
      const paid = key !== undefined && done.payments.includes(key);
      response.writeHead(paid ? 200 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify({ receipt: key }));
      return;
    }
    request.resume();
    request.once("end", () => {
      done[place === "payments" ? "payments" : "letters"].push(String(request.headers["idempotency-key"]));
      request.socket.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...done,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
