import path from "node:path";
import { readProject } from "../../src/engine/project.ts";
import { loadRegistry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { loadProgramAuth } from "../../src/http/program-auth.ts";
import { type Sent, sentOf } from "./http.ts";
import { startRuntime, type TestRuntime } from "./runtime.ts";

const file = path.resolve(import.meta.dirname, "../graphs/auth/langgraph.json");

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

/** A server at work on the graphs of test/graphs/auth, with the auth of that program. */
export async function startUsers(): Promise<Users> {
  const importModule = (url: string) => import(url);
  const runtime = await startRuntime({ registry: await loadRegistry(file, importModule) });
  runtime.work();
  const auth = await loadProgramAuth(await readProject(file), importModule);
  const config = { ...httpDefaults, version: "test", pollMillis: 50 };
  const app = createApp({ ...runtime, auth, config, ready: async () => true });
  return {
    runtime,
    app,
    as: async (user, method, url, body, headers = {}) => {
      const authorization = user === null ? {} : { authorization: `Bearer ${user}` };
      const init = body === undefined ? {} : { body: JSON.stringify(body) };
      const all = { "content-type": "application/json", ...authorization, ...headers };
      return sentOf(await app.request(url, { method, headers: all, ...init }));
    },
    close: () => runtime.close(),
  };
}
