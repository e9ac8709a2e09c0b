import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { type EffectSink, killed, startEffectSink, startProgram } from "../support/effect-sink.ts";
import type { SinkOptions } from "../support/effect-sink-server.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import type { FaultyModel } from "../support/model-main.ts";
import { packProgram } from "../support/packed-program.ts";

export interface PlantOptions {
  seed: number;
  workers: number;
  /** Share of the model's answers that fail. */
  modelFaultRate: number;
  sinkTools: SinkOptions["tools"];
}

/** Everything the runs need, each part in a process of its own. */
export interface Plant {
  db: Database;
  sink: EffectSink;
  api: HoldfastProcess;
  /** Workers that are up now, by place; a killed one is replaced by itself. */
  workers: (HoldfastProcess | undefined)[];
  /** Kills the worker at this place, or the next one that has been up long enough. False when none has. */
  killWorker(place: number): boolean;
  /** The postmaster dies as by a power cut and is started again on the same port. */
  crashPostgres(): Promise<void>;
  stop(): Promise<void>;
}

const log = { info: () => undefined };

export async function startPlant(options: PlantOptions): Promise<Plant> {
  const folder = await mkdtemp(path.join(tmpdir(), "holdfast-chaos-"));
  const dataDir = path.join(folder, "pg");
  const startPostgres = (): Promise<EmbeddedPostgres> =>
    startEmbeddedPostgres({ dataDir, log, stopOnExit: true });
  let postgres = await startPostgres();
  const { url } = postgres;
  await migrate(url);
  const db = openDatabase({ url, connectionsMax: 6 });
  const sink = await startEffectSink({
    log: path.join(folder, "effects.jsonl"),
    seed: options.seed,
    ...(options.sinkTools === undefined ? {} : { tools: options.sinkTools }),
  });
  const faults: FaultyModel = { seed: options.seed, faultRate: options.modelFaultRate };
  const model = await startProgram("model-main.ts", faults);
  const program = await packProgram({ graphs: "test/graphs/chaos.json" });
  const settings = {
    DATABASE_URL: url,
    LANGGRAPH_JSON: program.graphs,
    OPENAI_BASE_URL: model.url,
    OPENAI_API_KEY: "none",
    LOG_LEVEL: "info",
  };
  const api = await startHoldfast({ ...settings, ROLES: "http" }, program);
  const workers = startWorkers(options, (nth) =>
    startHoldfast(
      {
        ...settings,
        ROLES: "worker",
        WORKER_ID: `worker-${nth}`,
        WORKER_SLOTS: "4",
        LEASE_SECONDS: "2",
        REAP_MILLIS: "250",
        POLL_MILLIS: "250",
      },
      program,
    ),
  );
  return {
    db,
    sink,
    api,
    workers: workers.up,
    killWorker: workers.kill,
    async crashPostgres() {
      process.kill(postgres.pid, "SIGKILL");
      const started = startPostgres();
      workers.pauseUntil(started);
      postgres = await started;
      if (postgres.url !== url) throw new Error("Postgres came back at another address");
    },
    async stop() {
      await workers.stop();
      await api.end();
      await Promise.all([sink.stop(), killed(model.child as ChildProcess)]);
      await db.close();
      await postgres.stop();
      await program.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A worker may be killed when it has been up for half as long as its start took: killed sooner, nobody would get on. */
const upPerStart = 0.5;

/** Keeps a worker at each place: the next one starts when one has died. */
function startWorkers({ workers }: PlantOptions, start: (nth: number) => Promise<HoldfastProcess>) {
  const mayDieAt = Array.from({ length: workers }, () => 0);
  const up: (HoldfastProcess | undefined)[] = Array.from({ length: workers }, () => undefined);
  let started = 0;
  let stopping = false;
  let database: Promise<unknown> = Promise.resolve();
  const keep = async (place: number): Promise<void> => {
    while (!stopping) {
      await database;
      started += 1;
      const began = performance.now();
      const worker = await start(started).catch(() => undefined);
      if (worker === undefined) continue;
      if (stopping) return worker.end();
      const now = performance.now();
      mayDieAt[place] = now + upPerStart * (now - began);
      up[place] = worker;
      await worker.exited;
      up[place] = undefined;
    }
  };
  const kept = up.map((_, place) => keep(place));
  return {
    up,
    kill(place: number): boolean {
      for (let n = 0; n < workers; n += 1) {
        const at = (place + n) % workers;
        const victim = up[at];
        if (victim === undefined || performance.now() < (mayDieAt[at] ?? 0)) continue;
        up[at] = undefined;
        victim.kill("SIGKILL");
        return true;
      }
      return false;
    },
    /** None is started while there is no Postgres: it would only end at once. */
    pauseUntil(back: Promise<unknown>) {
      database = back.catch(() => undefined);
    },
    async stop() {
      stopping = true;
      await Promise.all(up.map((worker) => worker?.end()));
      await Promise.all(kept);
    },
  };
}
