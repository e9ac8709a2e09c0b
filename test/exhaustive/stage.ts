import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { loadRegistry, type Registry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type EffectSink, startEffectSink } from "../support/effect-sink.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { type ModelServer, startModelServer } from "../support/model-server.ts";
import { type PackedProgram, packProgram } from "../support/packed-program.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { type Play, playScene, type Send } from "./play.ts";
import { agentScript, type Scene } from "./scene.ts";

/** What all plays share: the outside world, the model, the graphs. */
export interface Stage {
  folder: string;
  sink: EffectSink;
  registry: Registry;
  /** The compiled program as the victim, with a database of its own behind `url`. */
  startVictim(url: string, failpoints: object, program?: Program): Promise<HoldfastProcess>;
  close(): Promise<void>;
}

/** Another build of the program, or settings of its own. */
export interface Program {
  dist?: string;
  environment?: Record<string, string>;
}

const graphs = "test/graphs/scenes.json";

export async function openStage(): Promise<Stage> {
  const folder = await mkdtemp(path.join(tmpdir(), "holdfast-exhaustive-"));
  const sink = await startEffectSink({
    log: path.join(folder, "effects.jsonl"),
    tools: { read: { honoursKeys: false }, book: { honoursKeys: false }, mail: { honoursKeys: false } },
  });
  const model: ModelServer = await startModelServer({ script: agentScript });
  const settings = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: "none" };
  const programs = new Map<string | undefined, Promise<PackedProgram>>();
  const packed = (dist?: string): Promise<PackedProgram> => {
    const known = programs.get(dist) ?? packProgram({ graphs, ...(dist === undefined ? {} : { dist }) });
    programs.set(dist, known);
    return known;
  };
  Object.assign(process.env, settings);
  return {
    folder,
    sink,
    registry: await loadRegistry(graphs, (url) => import(url)),
    async startVictim(url, failpoints, { dist, environment } = {}) {
      const program = await packed(dist);
      return startHoldfast(
        {
          ...settings,
          DATABASE_URL: url,
          LANGGRAPH_JSON: program.graphs,
          POLL_MILLIS: "100",
          LEASE_SECONDS: "5",
          WORKER_ID: randomUUID(),
          HOLDFAST_FAILPOINTS: JSON.stringify(failpoints),
          ...environment,
        },
        program,
      );
    },
    async close() {
      for (const program of programs.values()) await (await program).remove();
      await Promise.all([sink.stop(), model.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A play on a database of its own, with a runtime here that looks on, and later finishes what the victim began. */
export interface Performance extends Play {
  database: TestDatabase;
  runtime: TestRuntime;
  close(): Promise<void>;
}

export async function openPerformance(stage: Stage, scene: Scene): Promise<Performance> {
  const database = await createTestDatabase();
  const runtime = await startRuntime({ url: database.url, registry: stage.registry });
  return {
    scene,
    threadId: randomUUID(),
    about: randomUUID(),
    acknowledged: new Set(),
    db: runtime.db,
    sink: stage.sink,
    database,
    runtime,
    async close() {
      await runtime.close();
      await database.drop();
    },
  };
}

const requestMillisMax = 10_000;

export const overHttp =
  ({ url }: HoldfastProcess, givenUp: AbortSignal): Send =>
  (pathname, init) =>
    fetch(url + pathname, {
      ...init,
      signal: AbortSignal.any([givenUp, AbortSignal.timeout(requestMillisMax)]),
    });

const config = {
  version: "test",
  bodyBytesMax: 1_048_576,
  heartbeatSeconds: 5,
  pollMillis: 200,
  authRequired: false,
  requestsPerSecondMax: 0,
  streamsPerPrincipalMax: 0,
  webhooksPrivate: false,
};

/** A second worker, in this process, brings the scene to its end. What has to wait is not waited for. */
export async function finish(performance: Performance): Promise<void> {
  const { runtime } = performance;
  // A short lease, for the grace after a start of Postgres is one lease long.
  runtime.work({ leaseSeconds: 1 });
  const app = createApp({ ...runtime, config, ready: async () => true });
  const done = new AbortController();
  const skipping = skipWaits(performance, done.signal);
  try {
    const never = new AbortController().signal;
    await playScene(performance, async (pathname, init) => app.request(pathname, init), never);
  } finally {
    done.abort();
    await skipping;
  }
}

/** The same by a process of its own, for programs other than this one. It waits for what has to wait. */
export async function finishWith(stage: Stage, performance: Performance, program: Program): Promise<void> {
  const heir = await stage.startVictim(performance.database.url, {}, program);
  try {
    const never = new AbortController().signal;
    await playScene(performance, overHttp(heir, never), never);
  } finally {
    await heir.end();
  }
}

const lookMillis = 50;

/** Sets the clock of this runtime's database sessions to the next due time whenever nothing else is left to do. */
async function skipWaits({ runtime }: Performance, done: AbortSignal): Promise<void> {
  while (!done.aborted) {
    await sleep(lookMillis, undefined, { signal: done }).catch(() => undefined);
    const { rows } = await runtime.db.query({
      text: `select max(available_at) as due from holdfast.runs where status in ('queued', 'running')
             having bool_and(status = 'queued' and available_at > holdfast.now())`,
      values: [],
    });
    const due = rows[0]?.due as Date | undefined;
    if (due !== undefined && due !== null) runtime.clock.set(new Date(due.getTime() + 1));
  }
}
