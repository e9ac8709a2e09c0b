// The same five steps on other engines, each in a process of its own: bench/rivals.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { freePort } from "../../scripts/free-port.ts";

const folder = path.resolve(import.meta.dirname, "../rivals");
const upMillisMax = 60_000;
const lookMillis = 50;

export interface Rival {
  name: string;
  /** A POST here starts a run and is answered with its result. */
  url: string;
  stop(): Promise<void>;
}

/** All that can be had on this machine; for the others a line that says why not. */
export async function startRivals(arenaUrl: string): Promise<Rival[]> {
  if (!existsSync(path.join(folder, "node_modules"))) {
    console.log("  DBOS, Restate, BullMQ left out: npm ci --prefix bench/rivals installs them");
    return [];
  }
  const rivals = [
    await startProgram("DBOS workflow", "dbos.mjs", { DATABASE_URL: await ownDatabase(arenaUrl, "dbos") }),
    await startProgram("Restate workflow", "restate.mjs", {
      INGRESS_PORT: String(await freePort()),
      ADMIN_PORT: String(await freePort()),
      NODE_PORT: String(await freePort()),
    }),
  ];
  if (spawnSync("redis-server", ["--version"]).status !== 0) {
    console.log("  BullMQ left out: no redis-server on this machine");
    return rivals;
  }
  const redis = await startRedis();
  const settings = { DATABASE_URL: await ownDatabase(arenaUrl, "bullmq"), REDIS_PORT: String(redis.port) };
  const bullmq = await startProgram("BullMQ job", "bullmq.mjs", settings);
  const stop = async (): Promise<void> => {
    await bullmq.stop();
    await redis.stop();
  };
  return [...rivals, { ...bullmq, stop }];
}

async function ownDatabase(url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const own = new URL(url);
  own.pathname = `/${name}`;
  return own.href;
}

async function startProgram(name: string, file: string, settings: Record<string, string>): Promise<Rival> {
  const child = spawn(process.execPath, [path.join(folder, file)], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, BENCH_AT: process.env.BENCH_AT, ...settings },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const stop = (): Promise<void> => killed(child);
  try {
    return { name, url: await addressOf(name, child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function addressOf(name: string, child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} was not up in time`)), upMillisMax);
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code}`)));
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const url = /^up (\S+)$/.exec(line)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}

/** Writes its log to disk once a second, as it is installed by default where anything is to be kept. */
async function startRedis(): Promise<{ port: number; stop(): Promise<void> }> {
  const dir = mkdtempSync(path.join(tmpdir(), "redis-"));
  const port = await freePort();
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes"];
  const child = spawn("redis-server", options, { stdio: "ignore", detached: true });
  const deadline = performance.now() + upMillisMax;
  while (spawnSync("redis-cli", ["-p", String(port), "ping"]).status !== 0) {
    if (performance.now() > deadline) throw new Error("Redis was not up in time");
    await sleep(lookMillis);
  }
  return {
    port,
    async stop() {
      await killed(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null) return;
  process.kill(-child.pid, "SIGKILL");
  await once(child, "exit");
}
