import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { openServer } from "../../src/open-server.ts";
import { createTestDatabase } from "../support/database.ts";

const project = path.resolve(import.meta.dirname, "../graphs/http/langgraph.json");

it("a server without a port lets nobody in that it does not know, unless it is told to", async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const settings = { DATABASE_URL: database.url, LANGGRAPH_JSON: project, LOG_LEVEL: "silent" };
  await expect(openServer({ settings, worker: false })).rejects.toThrow(
    /callers must be known \(authRequired\), but there is no API key/,
  );
  const server = await openServer({ settings, worker: false, authRequired: false });
  const asked = new Request("http://localhost/threads/search", { method: "POST" });
  const answered = await server.fetch(asked);
  await server.stop();
  expect(answered.status).toBe(200);
});

it("a server without a port says which setting is wrong", async () => {
  const wrong = openServer({ settings: { PORT: "x", DATABASE_URL: "mysql://x" } });
  await expect(wrong).rejects.toThrow(/DATABASE_URL[\s\S]*PORT|PORT[\s\S]*DATABASE_URL/);
  await expect(openServer({ basePath: "agents/" })).rejects.toThrow(/basePath: "agents\/" is no path/);
});
