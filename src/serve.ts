import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Config, ConfigError, isLoopback } from "./config.ts";
import { database, type Stop } from "./database.ts";
import { migrate } from "./db/migrate.ts";
import type { Database } from "./db/pool.ts";
import { anyApiKey } from "./db/queries/keys.ts";
import { one } from "./db/query.ts";
import type { ImportModule } from "./engine/exported.ts";
import { lifetimesOf, type Project, readProject } from "./engine/project.ts";
import { loadRegistry } from "./engine/registry.ts";
import { loadStoreIndex } from "./engine/store-index.ts";
import { openGraphModules, secondCopies } from "./graph-modules.ts";
import { listen } from "./http/listen.ts";
import { createProbes } from "./http/probes.ts";
import { standInModel, startStandIn } from "./models/stand-in/server.ts";
import type { Log } from "./observe/log.ts";
import type { MetricsOfEach } from "./observe/metrics.ts";
import { bindSdkLogger } from "./observe/sdk-logger.ts";
import { openProjectApp, type ProjectApp } from "./project-app.ts";
import { openRuntime, type Runtime, startWorker } from "./runtime.ts";
import { version } from "./version.ts";

export interface Server {
  /** Where HTTP listens; null without the role. */
  url: string | null;
  stop(): Promise<void>;
}

type Environment = Record<string, string | undefined>;

interface Program {
  environment: Environment;
  /** Started once more, for runs under which two workers died. */
  mainFile: string;
  /** Where this is one of several processes. */
  metricsOfAll?: MetricsOfEach;
}

/** Starts what the roles need, in order; `stop` ends it in reverse. */
export async function serve(config: Config, log: Log, { environment, ...program }: Program): Promise<Server> {
  const closed = isLoopback(config.HOST) ? null : `HOST=${config.HOST} is reachable from elsewhere`;
  const opened = await openRoles({ ...program, config, log, standIn: environment, closed });
  try {
    const url = opened.app === null ? null : await listenAt({ ...opened, app: opened.app, config });
    const probes = await listenForProbes(opened, config);
    log.info(
      { address: url, probes, roles: config.ROLES, graphs: opened.graphs, worker: config.WORKER_ID },
      "holdfast is up",
    );
    return { url, stop: opened.stop };
  } catch (error) {
    await opened.stop();
    throw error;
  }
}

interface Wanted {
  config: Config;
  log: Log;
  /** Told where the stand-in for a model is, when there is no key of one; null where none is wanted. */
  standIn: Environment | null;
  /** Null: runs under which workers died are run like any other. */
  mainFile: string | null;
  /** Why callers must be known; null where all are welcome as long as there is no key. */
  closed: string | null;
  /** The path below which the app is reached. */
  basePath?: string;
  metricsOfAll?: MetricsOfEach;
}

export interface Opened {
  app: ProjectApp["app"] | null;
  /** What a process without the API answers. */
  probes: ReturnType<typeof createProbes>;
  graphs: string[];
  stops: Stop[];
  /** Says that no more traffic is wanted. */
  drain(): void;
  stop: Stop;
}

/** Everything but a port. What is pushed to `stops` ends first. */
export async function openRoles(wanted: Wanted): Promise<Opened> {
  const { config, log, standIn, mainFile } = wanted;
  const stops: Stop[] = [];
  const stop: Stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  let draining = false;
  try {
    const url = await database(config, log, stops);
    const applied = await migrate(url);
    if (applied.length > 0) log.info({ applied }, "schema brought up to date");
    if (standIn !== null) await model(config, log, standIn, stops);
    const importModule = openGraphModules();
    const project = await readProject(path.resolve(config.LANGGRAPH_JSON));
    const runtime = await openRoleRuntime({ ...wanted, url, project, importModule });
    stops.push(() => runtime.stop());
    const ready = async (): Promise<boolean> => !draining && (await answers(runtime.db));
    // The app comes before the worker, whose graphs may ask it from their first step on.
    const app = config.ROLES.includes("http")
      ? await openRoleHttp({ ...wanted, runtime, stops, project, importModule, ready })
      : null;
    if (config.ROLES.includes("worker")) startRoleWorker({ config, url, runtime, stops, mainFile });
    const drain = (): void => {
      draining = true;
    };
    const authRequired = wanted.closed !== null || project.auth?.path !== undefined;
    const probes = createProbes({ ...runtime, config: { authRequired }, ready });
    return { app, probes, graphs: runtime.registry.graphIds, stops, drain, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function listenAt({
  app,
  config,
  stops,
  drain,
}: Opened & { app: ProjectApp["app"]; config: Config }): Promise<string> {
  const { HOST: host, PORT: port, BODY_BYTES: messageBytesMax } = config;
  const server = await listen({ app, host, port, messageBytesMax });
  stops.push(async () => {
    drain();
    await server.stop();
  });
  return server.url;
}

/** For a process without the API that is told a port; null for any other. */
async function listenForProbes(
  { app, probes, stops, drain }: Opened,
  config: Config,
): Promise<string | null> {
  const { HOST: host, PROBE_PORT: port } = config;
  if (app !== null || port === undefined) return null;
  const server = await listen({ app: probes, host, port });
  // The last to end: while runs drain it says so, and its metrics can be read.
  stops.unshift(() => server.stop());
  stops.push(async () => drain());
  return server.url;
}

/** Graphs read the model's settings from the environment; without a key they get the stand-in's. */
async function model(config: Config, log: Log, environment: Environment, stops: Stop[]): Promise<void> {
  if (config.OPENAI_API_KEY !== undefined || !config.ROLES.includes("worker")) return;
  const standIn = await startStandIn({});
  stops.push(() => standIn.stop());
  environment.OPENAI_BASE_URL = standIn.url;
  environment.OPENAI_API_KEY = standIn.apiKey;
  environment.MODEL = standInModel;
  log.warn({ url: standIn.url }, "no OPENAI_API_KEY: a stand-in answers by rules, it is no language model");
}

interface Role {
  config: Config;
  runtime: Runtime;
  stops: Stop[];
}

function startRoleWorker({
  config,
  url,
  runtime,
  stops,
  mainFile,
}: Role & { url: string; mainFile: string | null }): void {
  const started = startWorker(runtime, {
    ...holding(config, url),
    workerId: config.WORKER_ID,
    slotsMax: config.WORKER_SLOTS,
    pollMillis: config.POLL_MILLIS,
    reapMillis: config.REAP_MILLIS,
    deadLetterDays: config.DEAD_LETTER_DAYS,
    webhooks: webhooksOf(config),
    mainFile,
  });
  stops.push(() => started.stop(config.DRAIN_SECONDS * 1000));
}

const webhooksOf = (config: Config) => ({
  secrets: config.WEBHOOK_SECRETS ?? [],
  allowPrivate: config.WEBHOOK_PRIVATE,
});

/** How runs are held, by a worker and by its processes for suspects alike. */
export const holding = (config: Config, url: string) => ({
  leaseSeconds: config.LEASE_SECONDS,
  blockSecondsMax: config.BLOCK_SECONDS,
  limits: { stepSecondsMax: config.STEP_SECONDS, runSecondsMax: config.RUN_SECONDS },
  leaseThreadUrl: url,
  random: Math.random,
});

interface Opening {
  config: Config;
  log: Log;
  url: string;
  project: Project;
  importModule: ImportModule;
  metricsOfAll?: MetricsOfEach;
}

/** What every process that runs graphs opens. */
export async function openRoleRuntime({
  config,
  log,
  url,
  project,
  importModule,
  metricsOfAll,
}: Opening): Promise<Runtime> {
  // Modules of the program may ask for it while they are loaded.
  bindSdkLogger(log);
  for (const copy of secondCopies(project.folder))
    log.warn(copy, `the project has a copy of ${copy.name} of its own: install the server's version there`);
  return openRuntime({
    url,
    connectionsMax: config.DATABASE_CONNECTIONS,
    listen: config.LISTEN_NOTIFY,
    prepared: config.PREPARED_STATEMENTS,
    registry: await loadRegistry(project.file, importModule),
    storeIndex: await loadStoreIndex(project, importModule),
    lifetimes: lifetimesOf(project),
    log,
    modelConcurrencyMax: config.MODEL_CONCURRENCY,
    runsMax: config.WORKER_SLOTS,
    ...(config.LANGGRAPH_CONFIG === undefined ? {} : { assistantDefaults: config.LANGGRAPH_CONFIG }),
    tracing: config.LANGSMITH_TRACING ?? config.LANGCHAIN_TRACING_V2 ?? false,
    ...(metricsOfAll === undefined ? {} : { metricsOfAll }),
  });
}

type HttpRole = Role &
  Wanted & { project: Project; importModule: ImportModule; ready: () => Promise<boolean> };

async function openRoleHttp(role: HttpRole): Promise<ProjectApp["app"]> {
  const { config, runtime, stops, project, importModule, ready, closed, basePath } = role;
  const opened = await openProjectApp({
    runtime,
    project,
    importModule,
    ready,
    webhooks: webhooksOf(config),
    config: {
      version,
      bodyBytesMax: config.BODY_BYTES,
      heartbeatSeconds: config.HEARTBEAT_SECONDS,
      webhooksPrivate: config.WEBHOOK_PRIVATE,
      pollMillis: config.POLL_MILLIS,
      requestsPerSecondMax: config.REQUESTS_PER_SECOND,
      streamsPerPrincipalMax: config.STREAMS_PER_PRINCIPAL,
      schemaSecondsMax: config.SCHEMA_SECONDS,
      authRequired: closed !== null,
      ...(basePath === undefined ? {} : { basePath }),
    },
  });
  stops.push(() => opened.stop());
  const keys = one(await anyApiKey(runtime.db, undefined)) ?? false;
  if (closed === null || keys || opened.hasAuth) return opened.app;
  throw new ConfigError(
    `${closed}, but there is no API key: make one with "holdfast keys create NAME" (or name an auth.path in langgraph.json)`,
  );
}

const probeMillisMax = 2_000;

/** Whether the database answers within two seconds. */
async function answers(db: Database): Promise<boolean> {
  const answered = db.query({ text: "select 1", values: [] }).then(
    () => true,
    () => false,
  );
  return Promise.race([answered, sleep(probeMillisMax, false, { ref: false })]);
}
