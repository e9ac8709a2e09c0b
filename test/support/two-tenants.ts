import path from "node:path";
import { Client } from "@langchain/langgraph-sdk";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { loadRegistry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { listen } from "../../src/http/listen.ts";
import { startRuntime, type TestRuntime } from "./runtime.ts";

export interface TwoTenants {
  runtime: TestRuntime;
  url: string;
  mine: Client;
  yours: Client;
  clientOf(tenant: string): Promise<Client>;
  /** A request of `mine` that the SDK's client would not make. */
  send(
    method: string,
    route: string,
    body?: unknown,
  ): Promise<{ status: number; headers: Headers; text: string }>;
  close(): Promise<void>;
}

/** A server at work on the graphs of test/graphs/assistants, and clients of two tenants. */
export async function startTwoTenants(): Promise<TwoTenants> {
  const file = path.resolve(import.meta.dirname, "../graphs/assistants/langgraph.json");
  const runtime = await startRuntime({ registry: await loadRegistry(file, (module) => import(module)) });
  runtime.work();
  return serveTwoTenants(runtime);
}

/** The same on a runtime that the test has opened; it is closed along. */
export async function serveTwoTenants(runtime: TestRuntime): Promise<TwoTenants> {
  const config = { ...httpDefaults, version: "test" };
  const app = createApp({ ...runtime, config, ready: async () => true });
  const server = await listen({ app, host: "127.0.0.1", port: 0 });
  const myKey = await addKey(runtime, "mine");
  const clientWith = (apiKey: string): Client =>
    new Client({ apiUrl: server.url, apiKey, callerOptions: { maxRetries: 0 } });
  const clientOf = async (tenant: string): Promise<Client> => clientWith(await addKey(runtime, tenant));
  return {
    runtime,
    url: server.url,
    mine: clientWith(myKey),
    yours: await clientOf("yours"),
    clientOf,
    send: async (method, route, body) => {
      const response = await fetch(server.url + route, {
        method,
        headers: { "content-type": "application/json", "x-api-key": myKey },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    },
    close: async () => {
      await server.stop();
      await runtime.close();
    },
  };
}

async function addKey({ db }: TestRuntime, tenant: string): Promise<string> {
  const { key, prefix, hash } = makeApiKey();
  await insertApiKey(db, { keyId: newId(), tenant, name: tenant, prefix, hash });
  return key;
}
