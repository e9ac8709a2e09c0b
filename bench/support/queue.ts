// The whole path of a run inside this process, without HTTP: created in the queue, claimed by a worker, settled.
import { newId, systemAssistantId } from "../../src/domain/ids.ts";
import { loadRegistry } from "../../src/engine/registry.ts";
import { type HttpDeps, httpDefaults } from "../../src/http/deps.ts";
import { Ends } from "../../src/http/ends.ts";
import { respondAtEnd } from "../../src/http/wait.ts";
import { Wakes } from "../../src/http/wake.ts";
import { openLog } from "../../src/observe/log.ts";
import { GroupCreate } from "../../src/queue/group-create.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { openRuntime, startWorker } from "../../src/runtime.ts";

type Way = Pick<HttpDeps, "db" | "bus" | "creates" | "ends" | "wakes" | "config">;

const connectionsMax = 20;
const pollMillis = 1_000;
const drainMillis = 2_000;

export interface Queue {
  /** Creates a run and waits for its values. */
  finished: (asked: CreateRun) => Promise<string>;
  /** The same, of five steps on a new thread. */
  run: () => Promise<unknown>;
  stop(): Promise<void>;
}

export const request = (graphId: string, input: unknown, threadId: string = newId()): CreateRun => ({
  tenant: "default",
  threadId,
  assistantId: systemAssistantId(graphId),
  graphId,
  kwargs: { input: input as Record<string, unknown>, stream_mode: ["values"] },
  metadata: {},
  threadConfig: null,
  multitaskStrategy: "enqueue",
  afterSeconds: 0,
  temporary: false,
  createThread: true,
  attemptsMax: 5,
  redriveOf: null,
  idempotencyKey: null,
  principal: "bench",
});

export const graphsFile = new URL("../langgraph.json", import.meta.url).pathname;

export async function startQueue(url: string, { slotsMax }: { slotsMax: number }): Promise<Queue> {
  const runtime = await openRuntime({
    url,
    connectionsMax,
    listen: true,
    registry: await loadRegistry(graphsFile, (file) => import(file)),
    log: openLog("warn"),
    tracing: false,
    runsMax: slotsMax,
  });
  const working = startWorker(runtime, {
    workerId: "bench",
    slotsMax,
    leaseSeconds: 30,
    blockSecondsMax: 60,
    pollMillis,
    reapMillis: 1_000,
    limits: { stepSecondsMax: 900, runSecondsMax: 86_400 },
    mainFile: null,
    leaseThreadUrl: null,
    deadLetterDays: 0,
    webhooks: { secrets: [], allowPrivate: true },
    random: Math.random,
  });
  const { db, bus, log } = runtime;
  const way: Way = {
    creates: new GroupCreate(db),
    bus,
    db,
    ends: new Ends({ db, bus }),
    wakes: new Wakes({ db, bus, log, pollMillis }),
    config: { ...httpDefaults, version: "bench", heartbeatSeconds: 5, pollMillis },
  };
  return {
    finished: (asked) => finished(way, asked),
    run: () => finished(way, request("five", { log: [] })),
    async stop() {
      await working.stop(drainMillis);
      await runtime.stop();
    },
  };
}

/** Makes a run and gives its values, as a client over HTTP is answered, or throws what it failed with. */
async function finished({ creates, bus, ...waiting }: Way, asked: CreateRun): Promise<string> {
  const { run } = await creates.create(asked);
  bus.publish("queue", run.thread_id);
  const name = { runId: run.run_id, threadId: run.thread_id, tenant: run.tenant };
  const text = await respondAtEnd(waiting, name, { headers: {}, isNew: true }).text();
  if (text.includes('{"__error__":')) throw new Error(text);
  return text;
}
