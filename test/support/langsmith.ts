import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** As much of LangSmith as hands out addresses for feedback; traces are thrown away. */
export async function startLangSmith(): Promise<{
  environment: Record<string, string>;
  stop(): Promise<void>;
}> {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const { url = "" } = request;
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify(url.includes("/feedback/tokens") ? { url: "https://feedback.example/token" } : {}),
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    environment: { LANGSMITH_ENDPOINT: `http://127.0.0.1:${port}`, LANGSMITH_API_KEY: "test" },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
