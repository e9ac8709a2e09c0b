import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { standInModel, startStandIn } from "../src/models/stand-in/server.ts";
import { demoDatabase } from "./demo-database.ts";
import { freePort } from "./free-port.ts";

const program = resolve(import.meta.dirname, "../dist/src/main.js");
const leaseSeconds = 3;
const upMsMax = 60_000;
const stopMsMax = 15_000;
const logLinesShown = 30;

export interface Process {
  /** SIGKILL: what a crash or the kernel does. */
  kill(): void;
  /** SIGTERM, and SIGKILL when that takes too long. */
  stop(): Promise<void>;
}

/** One API process with its own Postgres and model, in a folder of its own; workers come and go. */
export interface Machine {
  url: string;
  folder: string;
  filed: string;
  documents: string;
  startWorker(name: string): Promise<Process>;
  /** Requests that the model has got so far: a witness that is not the server. */
  modelRequests(): Promise<number>;
  get(path: string): Promise<unknown>;
  post(path: string, body: unknown): Promise<{ status: number; text: string }>;
  logTail(): string;
  stop(): Promise<void>;
}

/** Starts the compiled server. Throws when it is not built or does not come up. */
export async function startMachine(): Promise<Machine> {
  if (!existsSync(program)) throw new Error("the server is not built: npm run build");
  const folder = mkdtempSync(join(tmpdir(), "holdfast-demo-"));
  // Started as root, Postgres runs as another user, who must be able to come in.
  chmodSync(folder, 0o755);
  const [filed, documents, log] = [join(folder, "filed"), join(folder, "documents"), join(folder, "log")];
  for (const each of [filed, documents]) mkdirSync(each);
  const database = await demoDatabase(process.env.DATABASE_URL);
  const standIn = await startStandIn();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const environment = {
    ...process.env,
    DATABASE_URL: database?.url ?? "",
    HOLDFAST_DATA_DIR: join(folder, "postgres"),
    LANGGRAPH_JSON: resolve(import.meta.dirname, "demo/langgraph.json"),
    HOST: "127.0.0.1",
    PORT: String(port),
    LEASE_SECONDS: String(leaseSeconds),
    LOG_LEVEL: "info",
    FILING_DIR: filed,
    DOCUMENTS_DIR: documents,
    OPENAI_API_KEY: standIn.apiKey,
    OPENAI_BASE_URL: standIn.url,
    MODEL: standInModel,
  };
  const start = (role: string, name: string): Child =>
    startChild({ ...environment, ROLES: role, WORKER_ID: name }, log);
  const children: Child[] = [];
  const stop = async (): Promise<void> => {
    // The API process started Postgres, so it goes last.
    for (const child of children.splice(0).reverse()) await child.stop();
    await standIn.stop();
    await database?.drop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const api = start("http", "api");
    children.push(api);
    await comesUp(url, api);
  } catch (error) {
    console.log(tailOf(log));
    await stop();
    throw error;
  }
  return {
    url,
    folder,
    filed,
    documents,
    async startWorker(name) {
      const worker = start("worker", name);
      children.push(worker);
      return worker;
    },
    modelRequests: async () =>
      ((await (await fetch(standIn.controlUrl)).json()) as { requests: number }).requests,
    get: async (path) => (await fetch(`${url}${path}`)).json(),
    async post(path, body) {
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      return { status: response.status, text: await response.text() };
    },
    logTail: () => tailOf(log),
    stop,
  };
}

interface Child extends Process {
  ended(): boolean;
}

function startChild(env: NodeJS.ProcessEnv, log: string): Child {
  const output = openSync(log, "a");
  const cwd = resolve(import.meta.dirname, "..");
  const child: ChildProcess = spawn(process.execPath, [program, "serve"], {
    cwd,
    env,
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  const exited = once(child, "exit");
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    ended,
    kill: () => void child.kill("SIGKILL"),
    async stop() {
      if (ended()) return;
      child.kill("SIGTERM");
      await Promise.race([exited, sleep(stopMsMax, undefined, { ref: false })]);
      if (!ended()) child.kill("SIGKILL");
      await exited;
    },
  };
}

async function comesUp(url: string, child: Child): Promise<void> {
  const deadline = performance.now() + upMsMax;
  while (performance.now() < deadline) {
    if (child.ended()) throw new Error("the server ended while it started");
    const ok = await fetch(`${url}/ok`).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return;
    await sleep(100);
  }
  throw new Error(`the server did not answer within ${upMsMax / 1000} s`);
}

const tailOf = (log: string): string =>
  existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").slice(-logLinesShown).join("\n") : "";
