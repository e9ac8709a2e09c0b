// The whole path of a run inside this process, without HTTP: created in the queue, claimed by a worker, settled.
import type { Database } from "../../src/db/pool.ts";
import { getRun } from "../../src/db/queries/runs.ts";
import { one } from "../../src/db/query.ts";
import { newId, systemAssistantId } from "../../src/domain/ids.ts";
import { isTerminal } from "../../src/domain/run.ts";
import { loadRegistry } from "../../src/engine/registry.ts";
import { openLog } from "../../src/observe/log.ts";
import { GroupCreate } from "../../src/queue/group-create.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { openRuntime, type Runtime, startWorker } from "../../src/runtime.ts";

const connectionsMax = 20;
const pollMillis = 1_000;
const drainMillis = 2_000;

export interface Queue {
  runtime: Runtime;
  creates: GroupCreate;
  /** Creates a run on a new thread and waits for its end. */
  run: () => Promise<void>;
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
  const creates = new GroupCreate(runtime.db);
  return {
    runtime,
    creates,
    run: () => finished({ ...runtime, creates }, request("five", { log: [] })),
    async stop() {
      await working.stop(drainMillis);
      await runtime.stop();
    },
  };
}

export async function finished(
  { db, bus, creates }: { db: Database; bus: Runtime["bus"]; creates: GroupCreate },
  asked: CreateRun,
): Promise<void> {
  const { run } = await creates.create(asked);
  bus.publish("queue", run.thread_id);
  const { run_id: runId, thread_id: threadId, tenant } = run;
  let rung = false;
  let ring: () => void = () => undefined;
  const unsubscribe = bus.subscribe("run", (id) => {
    if (id !== runId && id !== "*") return;
    rung = true;
    ring();
  });
  try {
    for (;;) {
      if (!rung)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pollMillis);
          ring = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      rung = false;
      const now = one(await getRun(db, { runId, threadId, tenant }));
      if (now === undefined || isTerminal(now.status)) return;
    }
  } finally {
    unsubscribe();
  }
}
