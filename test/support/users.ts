import path from "node:path";
import { readProject } from "../../src/engine/project.ts";
import { loadRegistry } from "../../src/engine/registry.ts";
import type { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { openProjectApp } from "../../src/project-app.ts";
import { type Sent, sentOf } from "./http.ts";
import { startRuntime, type TestRuntime } from "./runtime.ts";

const graphs = path.resolve(import.meta.dirname, "../graphs");

export interface Users {
  runtime: TestRuntime;
  app: ReturnType<typeof createApp>;
  /** A request of a user of test/graphs/auth, or of nobody. */
  as(
    user: string | null,
    method: string,
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Sent>;
  close(): Promise<void>;
}

/** A server at work on a project of test/graphs, with the auth and the routes that its langgraph.json names. */
export async function startUsers(json = "auth/langgraph.json"): Promise<Users> {
  const file = path.join(graphs, json);
  const importModule = (url: string) => import(url);
  const runtime = await startRuntime({ registry: await loadRegistry(file, importModule) });
  runtime.work();
  const { app, stop } = await openProjectApp({
    runtime,
    project: await readProject(file),
    importModule,
    config: { ...httpDefaults, version: "test", pollMillis: 50 },
    ready: async () => true,
    webhooks: { secrets: [], allowPrivate: false },
  });
  return {
    runtime,
    app,
    as: async (user, method, url, body, headers = {}) => {
      const authorization = user === null ? {} : { authorization: `Bearer ${user}` };
      const init = body === undefined ? {} : { body: JSON.stringify(body) };
      const all = { "content-type": "application/json", ...authorization, ...headers };
      return sentOf(await app.request(url, { method, headers: all, ...init }));
    },
    close: async () => {
      await stop();
      await runtime.close();
    },
  };
}
