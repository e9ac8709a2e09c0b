import path from "node:path";
import type { StoreIndex } from "../../src/checkpoint/store-index.ts";
import type { Lifetimes } from "../../src/domain/lifetimes.ts";
import { loadRegistry, type Registry } from "../../src/engine/registry.ts";
import { openLog } from "../../src/observe/log.ts";
import { openRuntime, type Runtime, startWorker } from "../../src/runtime.ts";
import { TestClock } from "./clock.ts";
import { createTestDatabase } from "./database.ts";

const graphs = path.resolve(import.meta.dirname, "../graphs/langgraph.json");

export interface TestRuntime extends Runtime {
  clock: TestClock;
  url: string;
  /** Starts one more worker; `stop` stops all of them. */
  work(overrides?: Partial<Parameters<typeof startWorker>[1]>): ReturnType<typeof startWorker>;
  close(): Promise<void>;
}

export interface RuntimeChoices {
  registry?: Registry;
  listen?: boolean;
  /** Another runtime's database, or a proxy in front of one; else a new one. */
  url?: string;
  storeIndex?: StoreIndex;
  lifetimes?: Lifetimes;
}

/** A registry with one graph, for tests that deploy another version of it. */
export function registryOf(graphId: string, graph: unknown): Promise<Registry> {
  const file = path.resolve(import.meta.dirname, "../graphs/any.json");
  return loadRegistry(file, async () => ({ [graphId]: graph }));
}

export async function startRuntime(options: RuntimeChoices = {}): Promise<TestRuntime> {
  const database =
    options.url === undefined ? await createTestDatabase() : { url: options.url, drop: async () => {} };
  const clock = new TestClock();
  const registry = options.registry ?? (await loadRegistry(graphs, (url) => import(url)));
  const runtime = await openRuntime({
    url: database.url,
    connectionsMax: 10,
    listen: options.listen ?? true,
    registry,
    log: openLog(process.env.TEST_LOG === undefined ? "silent" : "info"),
    tracing: false,
    storeIndex: options.storeIndex ?? null,
    ...(options.lifetimes === undefined ? {} : { lifetimes: options.lifetimes }),
    onCheckout: clock.onCheckout,
  });
  const workers: ReturnType<typeof startWorker>[] = [];
  return {
    ...runtime,
    clock,
    url: database.url,
    work(overrides = {}) {
      const started = startWorker(runtime, {
        workerId: `worker-${workers.length + 1}`,
        slotsMax: 8,
        leaseSeconds: 30,
        blockSecondsMax: 60,
        pollMillis: 200,
        reapMillis: 100,
        limits: { stepSecondsMax: 900, runSecondsMax: 1_000_000_000 },
        mainFile: null,
        leaseThreadUrl: null,
        deadLetterDays: 0,
        webhooks: { secrets: [], allowPrivate: true },
        random: () => 0,
        ...overrides,
      });
      workers.push(started);
      return started;
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.stop(2_000)));
      await runtime.stop();
      await database.drop();
    },
  };
}
