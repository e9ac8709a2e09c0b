// The composition root: builds plain objects and hands each function the slice it names. The command line is in
// main.ts; two runtimes can live in one process, which is what tests do.
import { GroupCommit } from "./checkpoint/group-commit.ts";
import type { StoreIndex } from "./checkpoint/store-index.ts";
import { TextMemory } from "./checkpoint/text-memory.ts";
import { type Bus, openBus } from "./db/listen.ts";
import { type Database, openDatabase } from "./db/pool.ts";
import { upsertSystemAssistant } from "./db/queries/assistants.ts";
import type { Queryable } from "./db/query.ts";
import { systemAssistantId } from "./domain/ids.ts";
import { forever, type Lifetimes } from "./domain/lifetimes.ts";
import type { Registry } from "./engine/registry.ts";
import { openSlots, type Slots } from "./models/slots.ts";
import { tellDead } from "./observe/dead.ts";
import type { Log } from "./observe/log.ts";
import { type Metrics, type MetricsOfEach, openMetrics } from "./observe/metrics.ts";
import { openTracing, type Tracing } from "./observe/tracing.ts";
import { isolatedCommand } from "./options.ts";
import { fireDueCrons } from "./queue/crons.ts";
import { GroupSettle } from "./queue/group-settle.ts";
import { reapOnce } from "./queue/reaper.ts";
import { pruneOnce, scheduleOnce } from "./queue/scheduler.ts";
import { type WebhookOptions, WebhookSender } from "./webhooks/sender.ts";
import type { Limits } from "./worker/attempt-limits.ts";
import type { WorkerDeps } from "./worker/deps.ts";
import { Chore } from "./worker/housekeeping.ts";
import { IsolatedChild } from "./worker/isolated-child.ts";
import { Isolation } from "./worker/isolation.ts";
import { keepLeasesHere, keepLeasesInThread } from "./worker/leases.ts";
import { Worker } from "./worker/worker.ts";

type AssistantDefaults = Readonly<Record<string, { context?: Record<string, unknown> | undefined }>>;

export interface RuntimeOptions {
  url: string;
  connectionsMax: number;
  listen: boolean;
  /** False behind a pooler in transaction mode; true where it is not said. */
  prepared?: boolean;
  registry: Registry;
  log: Log;
  tracing: boolean;
  /** How many runs its worker will work on at once; one lane's worth where it is not said. */
  runsMax?: number;
  /** Of requests to one model provider under way at once; 32 where it is not said. */
  modelConcurrencyMax?: number;
  /** By graph: the config of its system assistant, with `context` beside the config's own fields. */
  assistantDefaults?: AssistantDefaults;
  storeIndex?: StoreIndex | null;
  /** For ever where it is not said. */
  lifetimes?: Lifetimes;
  onCheckout?: (client: Queryable) => void;
  /** Where this is one of several processes. */
  metricsOfAll?: MetricsOfEach;
}

export interface Runtime {
  db: Database;
  bus: Bus;
  /** The writes of all runs of this process. */
  group: GroupCommit;
  /** The outcomes of all runs of this process. */
  outcomes: GroupSettle;
  /** Of threads that its runs have worked on. */
  texts: TextMemory;
  registry: Registry;
  log: Log;
  metrics: Metrics;
  tracing: Tracing;
  slots: Slots;
  storeIndex: StoreIndex | null;
  lifetimes: Lifetimes;
  stop(): Promise<void>;
}

/** What every role needs. The schema is up to date already. */
export async function openRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { url, connectionsMax, listen, prepared = true, registry, log, onCheckout } = options;
  const hooks = onCheckout === undefined ? {} : { onCheckout };
  const db = openDatabase({ url, connectionsMax, prepared, ...hooks });
  const bus = openBus({
    db,
    listen,
    onError: (error) => log.warn({ error }, "notifications are down, polling goes on"),
  });
  for (const graphId of registry.graphIds) {
    const { context = {}, ...config } = options.assistantDefaults?.[graphId] ?? {};
    await upsertSystemAssistant(db, { assistantId: systemAssistantId(graphId), graphId, config, context });
  }
  const tracing = openTracing({ enabled: options.tracing });
  return {
    db,
    bus,
    group: new GroupCommit(db, options),
    outcomes: new GroupSettle(db),
    texts: new TextMemory(),
    registry,
    log,
    metrics: openMetrics(options.metricsOfAll),
    tracing,
    slots: openSlots(options.modelConcurrencyMax),
    storeIndex: options.storeIndex ?? null,
    lifetimes: options.lifetimes ?? forever,
    async stop() {
      await bus.stop();
      await tracing.flush();
      await db.close();
    },
  };
}

export interface WorkerRole {
  workerId: string;
  slotsMax: number;
  leaseSeconds: number;
  blockSecondsMax: number;
  pollMillis: number;
  reapMillis: number;
  limits: Limits;
  /** The program's main file, which can be started once more for suspects; null where it cannot: they are then run
   * like any other run, and a lost lease is charged to its run. */
  mainFile: string | null;
  /** The database's URL for the lease thread; without it leases are kept in this thread. */
  leaseThreadUrl: string | null;
  /** Dead letters older than this are discarded, and removed as long after that; 0 keeps them for ever. */
  deadLetterDays: number;
  random: () => number;
  webhooks: WebhookOptions;
}

/** Schedules come due at this pace when nothing wakes them. */
const scheduleMillis = 250;
const cronMillis = 1_000;
const pruneMillis = 30_000;
const webhookMillis = 500;

/** A worker with its chores. Stop it before the runtime. */
export function startWorker(
  runtime: Runtime,
  role: WorkerRole,
): { worker: Worker; stop(deadlineMillis: number): Promise<void> } {
  const isolation = isolationOf(runtime, role);
  const worker = new Worker(workerDeps(runtime, role), { ...role, claimsSuspects: isolation === null });
  const webhooks = startWebhooks(runtime, role.webhooks);
  const chores = choresOf(runtime, { ...role, isolates: isolation !== null });
  worker.start();
  isolation?.start();
  for (const chore of chores) chore.start();
  return {
    worker,
    async stop(deadlineMillis) {
      await Promise.all([
        worker.stop(deadlineMillis),
        isolation?.stop(deadlineMillis),
        ...chores.map((chore) => chore.stop()),
      ]);
      await webhooks.stop();
    },
  };
}

/** Sends what the outbox holds, as far as the options say that this process can. */
export function startWebhooks(runtime: Runtime, options: WebhookOptions): { stop(): Promise<void> } {
  const sender = new WebhookSender({ ...runtime, now: () => new Date() }, options);
  const chore = new Chore({
    name: "webhooks",
    everyMillis: webhookMillis,
    runOnce: () => sender.runOnce(),
    log: runtime.log,
  });
  chore.start();
  return {
    async stop() {
      await chore.stop();
      await sender.stop();
    },
  };
}

type Holding = Pick<WorkerRole, "leaseSeconds" | "blockSecondsMax" | "limits" | "leaseThreadUrl" | "random">;

/** What whoever holds runs needs: a worker, or a process for suspects. */
export function workerDeps(runtime: Runtime, holding: Holding): WorkerDeps {
  const { db, log } = runtime;
  const { leaseSeconds, leaseThreadUrl: url, blockSecondsMax, limits, random } = holding;
  return {
    ...runtime,
    limits,
    random,
    leases: (onBeat) =>
      url === null
        ? keepLeasesHere({ db, leaseSeconds, onBeat, log })
        : keepLeasesInThread({ url, leaseSeconds, blockSecondsMax, onBeat, log }),
  };
}

function isolationOf(runtime: Runtime, role: WorkerRole): Isolation | null {
  const { mainFile, leaseThreadUrl: url, workerId } = role;
  if (mainFile === null || url === null) return null;
  const startChild = (): Promise<IsolatedChild> =>
    IsolatedChild.start({ mainFile, command: isolatedCommand, url, workerId });
  return new Isolation({ ...runtime, startChild }, { ...role, graphIds: runtime.registry.graphIds });
}

async function fireCrons({ db, bus, log, metrics }: Runtime): Promise<void> {
  const ticks = await fireDueCrons(
    { db, bus },
    {
      onFailed: ({ cron_id, thread_id }, error) =>
        log.warn({ error, cron_id, thread_id }, "a cron could not start its run"),
      onError: (error) => log.warn({ error }, "a cron is tried again"),
    },
  );
  for (const [outcome, count] of Object.entries(ticks)) metrics.cronTicks.inc({ outcome }, count);
}

function choresOf(
  runtime: Runtime,
  { leaseSeconds, reapMillis, deadLetterDays, isolates }: WorkerRole & { isolates: boolean },
): Chore[] {
  const { db, bus, log, metrics } = runtime;
  const reap = async (): Promise<void> => {
    const { requeued, buried, cancelled } = await reapOnce(
      { db, bus },
      {
        graceSeconds: leaseSeconds,
        onDead: (run, error) => tellDead({ log, metrics }, run, error),
        isolates,
        onError: (error) => {
          log.error({ error }, "a run whose worker is gone could not be given back");
          return undefined;
        },
      },
    );
    metrics.takeovers.inc(requeued + buried + cancelled);
    metrics.crashBudget.inc(buried);
  };
  const skipped = (error: unknown): number => {
    log.error({ error }, "an expired question could not be answered");
    return 0;
  };
  return [
    new Chore({ name: "reap", everyMillis: reapMillis, runOnce: reap, log }),
    new Chore({
      name: "schedule",
      everyMillis: scheduleMillis,
      runOnce: () => scheduleOnce({ db, bus }, skipped),
      log,
    }),
    new Chore({ name: "crons", everyMillis: cronMillis, runOnce: () => fireCrons(runtime), log }),
    new Chore({
      name: "prune",
      everyMillis: pruneMillis,
      runOnce: () => pruneOnce({ db, bus }, { deadLetterDays }),
      log,
    }),
  ];
}
