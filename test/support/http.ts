import path from "node:path";
import { type Bus, openBus } from "../../src/db/listen.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { loadRegistry, type Registry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { type AppDeps, type HttpConfig, httpDefaults } from "../../src/http/deps.ts";
import { openLog } from "../../src/observe/log.ts";
import { openMetrics } from "../../src/observe/metrics.ts";
import { createTestDatabase } from "./database.ts";

const project = path.resolve(import.meta.dirname, "../graphs/http/langgraph.json");

export interface TestApp {
  app: ReturnType<typeof createApp>;
  deps: AppDeps;
  db: Database;
  bus: Bus;
  registry: Registry;
  /** Sends JSON and returns status, headers and the body, parsed where it is JSON. */
  send(method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<Sent>;
  /** Rows of the tables a request could change. */
  rows(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

export interface Sent {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  json: any;
}

/** The HTTP app over a database of its own, reached as `reach` says; nobody works on its runs. */
export async function openTestApp(
  config: Partial<HttpConfig> = {},
  reach: (url: string) => Promise<string> = async (url) => url,
): Promise<TestApp> {
  const database = await createTestDatabase();
  const db = openDatabase({ url: await reach(database.url), connectionsMax: 8 });
  const bus = openBus({ db, listen: false, onError: () => {} });
  const registry = await loadRegistry(project, (url) => import(url));
  const deps: AppDeps = {
    db,
    bus,
    registry,
    log: openLog("silent"),
    metrics: openMetrics(),
    storeIndex: null,
    config: { ...httpDefaults, version: "0.0.0-test", pollMillis: 50, ...config },
    ready: () => Promise.resolve(true),
  };
  const app = createApp(deps);
  return {
    app,
    deps,
    db,
    bus,
    registry,
    send: async (method, url, body, headers = {}) => {
      const init = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
      const response = await app.request(url, {
        method,
        headers: { "content-type": "application/json", ...headers },
        ...init,
      });
      return sentOf(response);
    },
    rows: async () => {
      const { rows } = await db.query({ text: countAll, values: [] });
      return rows[0] as Record<string, number>;
    },
    close: async () => {
      await bus.stop();
      await db.close();
      await database.drop();
    },
  };
}

const countAll = `select (select count(*) from holdfast.threads) as threads, (select count(*) from holdfast.runs) as runs,
  (select count(*) from holdfast.escalations where status = 'open') as open,
  (select count(*) from holdfast.idempotency_keys) as keys, (select count(*) from public.checkpoints) as checkpoints`;

export async function sentOf(response: Response): Promise<Sent> {
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}
