// PROCESSES above 1: the program several times over, at one port. This process accepts connections for them and owns the built-in
// Postgres; it replaces who dies. Runs of a dead one are taken over by its lease, as those of any worker are.
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import pRetry from "p-retry";
import type { Config } from "./config.ts";
import { database, type Stop } from "./database.ts";
import type { Log } from "./observe/log.ts";
import { type FromParent, MetricsOfAll, type ToParent } from "./observe/shared-metrics.ts";
import { memberCommand } from "./options.ts";

/** Between the death of a process and its successor; doubled while successors do not come up. */
const restMillisMin = 1_000;
const restMillisMax = 60_000;
/** Modules, migrations of a large database, and a port. */
const upMillisMax = 300_000;
/** Beyond DRAIN_SECONDS, for one that does not end by itself. */
const stopMillisMax = 10_000;

interface Program {
  mainFile: string;
  /** As it was set; where it was not, each process has a name of its own. */
  workerId: string | undefined;
  /** Ends it. */
  signal: AbortSignal;
}

interface Member {
  /** 1, 2, …: a successor has the name of the one before it. */
  name: string;
  worker: Worker;
  up: boolean;
  ended: Promise<unknown>;
}

/** Runs until the signal aborts. Rejects where one of the first processes does not come up; it has said why. */
export async function serveSeveral(config: Config, log: Log, program: Program): Promise<void> {
  const stops: Stop[] = [];
  try {
    const url = await database(config, log, stops);
    await new Processes({ ...config, DATABASE_URL: url }, log, program).run();
  } finally {
    for (const end of stops.reverse()) await end();
  }
}

class Processes {
  readonly #members = new Map<string, Member>();
  readonly #metrics = new MetricsOfAll();
  readonly #config: Config;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #workerId: string | undefined;

  constructor(config: Config, log: Log, { mainFile, workerId, signal }: Program) {
    this.#config = config;
    this.#log = log;
    this.#signal = signal;
    this.#workerId = workerId;
    cluster.setupPrimary({ exec: mainFile, args: [memberCommand] });
    // A second signal ends this process at once, and nobody may outlive it then.
    process.once("exit", () => {
      for (const { worker } of this.#members.values()) worker.process.kill("SIGKILL");
    });
  }

  async run(): Promise<void> {
    const names = Array.from({ length: this.#config.PROCESSES }, (_, n) => String(n + 1));
    const aborted = once(this.#signal, "abort");
    try {
      // The first alone: what is wrong with all of them is said once.
      await this.#start("1");
      await Promise.all(names.slice(1).map((name) => this.#start(name)));
      this.#log.info({ processes: names.length }, "all processes are up");
      for (const name of names) this.#keep(name).catch((error) => this.#failed(name, error));
      await aborted;
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      await this.#stop();
    }
  }

  /** Resolves when it is up. */
  async #start(name: string): Promise<void> {
    this.#signal.throwIfAborted();
    const worker = cluster.fork(this.#environment(name));
    const ended = once(worker, "exit").then(() => this.#members.delete(name));
    const member: Member = { name, worker, ended, up: false };
    this.#members.set(name, member);
    worker.on("error", (error) => this.#failed(name, error));
    const up = new Promise<true>((resolve) => {
      worker.on("message", (message: ToParent) => {
        if ("up" in message) resolve(true);
        else this.#heard(member, message);
      });
    });
    const late = setTimeout(() => worker.process.kill("SIGKILL"), upMillisMax);
    member.up = await Promise.race([up, ended.then(() => false)]).finally(() => clearTimeout(late));
    if (!member.up) throw new NotUp(`process ${name} ended before it was up; what it said is above`);
  }

  /** Beside what this process was started with. */
  #environment(name: string): Record<string, string | undefined> {
    const { DATABASE_URL, ROLES } = this.#config;
    return {
      DATABASE_URL,
      ROLES: ROLES.join(","),
      ...(this.#workerId === undefined ? {} : { WORKER_ID: `${this.#workerId}:${name}` }),
    };
  }

  /** Until the signal, somebody has this name. */
  async #keep(name: string): Promise<void> {
    while (!this.#signal.aborted) {
      const member = this.#members.get(name);
      await member?.ended;
      if (this.#signal.aborted) return;
      const { exitCode: code, signalCode } = member?.worker.process ?? {};
      this.#log.warn({ process: name, code, signal: signalCode }, "a process has ended: another one follows");
      await sleep(restMillisMin, undefined, { signal: this.#signal });
      await pRetry(() => this.#start(name), {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: restMillisMin,
        maxTimeout: restMillisMax,
        factor: 2,
        signal: this.#signal,
        onFailedAttempt: ({ error }) => this.#failed(name, error),
      });
    }
  }

  #failed(name: string, error: unknown): void {
    if (!this.#signal.aborted) this.#log.error({ error, process: name }, "a process failed");
  }

  #heard({ name, worker }: Member, message: Exclude<ToParent, { up: true }>): void {
    if ("counted" in message) this.#metrics.heard(name, message);
    else
      void this.#textOfAll().then((text) => tell(worker, { metrics: text, question: message.wantsMetrics }));
  }

  #textOfAll(): Promise<string> {
    const up = [...this.#members.values()].filter((member) => member.up);
    return this.#metrics.text(
      up.map(({ name, worker }) => ({ name, send: (message) => tell(worker, message) })),
    );
  }

  /** What is not up yet has nothing to give back. */
  async #stop(): Promise<void> {
    const members = [...this.#members.values()];
    for (const { worker, up } of members) {
      if (up) tell(worker, { stop: true });
      else worker.process.kill("SIGTERM");
    }
    const late = setTimeout(
      () => {
        for (const { worker } of members) worker.process.kill("SIGKILL");
      },
      this.#config.DRAIN_SECONDS * 1_000 + stopMillisMax,
    );
    await Promise.all(members.map(({ ended }) => ended)).finally(() => clearTimeout(late));
  }
}

class NotUp extends Error {
  override readonly name = "NotUp";
}

/** To one that is ending nothing is told. */
function tell(worker: Worker, message: FromParent): void {
  if (worker.isConnected()) worker.send(message, () => undefined);
}
