/**
 * Whole runs of the five-step graph, created over HTTP and awaited, against bare graph.invoke: npm run bench:runs
 * Holdfast is one process of its own with all roles, and another one that is several; the official dev server, which keeps everything
 * in memory, and each rival of bench/rivals that is installed are one each.
 */
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { newId } from "../src/domain/ids.ts";
import { type HoldfastProcess, startHoldfast } from "../test/support/holdfast-process.ts";
import { median, openArena, percentile } from "./support/arena.ts";
import { startDevServer } from "./support/dev-server.ts";
import { fiveSteps } from "./support/five-steps.ts";
import { post } from "./support/http-client.ts";
import { load, warmMillis } from "./support/load.ts";
import { startRivals } from "./support/rivals.ts";
import { FencedSavers } from "./support/savers.ts";

const concurrency = Number(process.env.BENCH_AT ?? 64);
const millisPerTurn = Number(process.env.BENCH_SECONDS ?? 4) * 1_000;
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const processes = Number(process.env.BENCH_PROCESSES ?? 2);
const idleRuns = Number(process.env.BENCH_IDLE ?? 50);

const upMillisMax = 60_000;
const lookMillis = 50;

type Run = () => Promise<unknown>;

const arena = await openArena();
const builder = fiveSteps();
const stock = new PostgresSaver(arena.db.pool);
const savers = new FencedSavers(arena.db);
const invoke = async (
  threadId: string,
  checkpointer: Parameters<typeof builder.compile>[0],
): Promise<void> => {
  const config = { configurable: { thread_id: threadId }, durability: "sync" as const };
  await builder.compile(checkpointer).invoke({ log: [] }, config);
};
const awaited =
  (url: string): Run =>
  async () => {
    const values = JSON.parse(await post(url, { assistant_id: "five", input: { log: [] } }));
    if (values.log?.length !== 5) throw new Error(`a run gave ${JSON.stringify(values).slice(0, 200)}`);
  };
const overHttp = (url: string): Run => awaited(`${url}/runs/wait`);
/** On a database of its own: it takes what is in its queue, whoever put it there. */
async function holdfastOf(count: number): Promise<HoldfastProcess> {
  const url = new URL(arena.url);
  url.pathname = `holdfast_of_${count}`;
  await arena.db.query({ text: `create database ${url.pathname.slice(1)}`, values: [] });
  const started = await startHoldfast({
    DATABASE_URL: url.href,
    LANGGRAPH_JSON: "bench/langgraph.json",
    PROCESSES: String(count),
    WORKER_SLOTS: String(Math.ceil(concurrency / count)),
    DATABASE_CONNECTIONS: "20",
    // As `npm start` starts it.
    NODE_OPTIONS: "--max-semi-space-size=64",
  });
  await allUp(started, count);
  return started;
}

async function allUp({ lines }: HoldfastProcess, count: number): Promise<void> {
  const deadline = performance.now() + upMillisMax;
  while (lines.filter(({ msg }) => msg === "holdfast is up").length < count) {
    if (performance.now() > deadline) throw new Error(`${count} processes of Holdfast did not come up`);
    await new Promise((resolve) => setTimeout(resolve, lookMillis));
  }
}

const holdfast = await holdfastOf(1);
const several = await holdfastOf(processes);
const devServer = await startDevServer(concurrency);
const rivals = await startRivals(arena.url);
const subjects: Record<string, Run> = {
  "invoke, stock PostgresSaver": () => {
    const threadId = newId();
    return invoke(threadId, { checkpointer: stock });
  },
  "invoke, our saver": () => {
    const { threadId, saver } = savers.take();
    return invoke(threadId, { checkpointer: saver });
  },
  "HTTP, Holdfast": overHttp(holdfast.url),
  [`HTTP, Holdfast, PROCESSES=${processes}`]: overHttp(several.url),
  "HTTP, official dev server": overHttp(devServer.url),
  ...Object.fromEntries(rivals.map(({ name, url }) => [`HTTP, ${name}`, awaited(url)])),
};

async function perSecond(run: Run, millis: number): Promise<number> {
  await savers.prepare();
  return (await load(run, { at: concurrency, millis })).perSecond;
}

async function idleMillis(run: Run): Promise<number[]> {
  const millis: number[] = [];
  for (let n = 0; n < idleRuns; n += 1) {
    const began = performance.now();
    await run();
    millis.push(performance.now() - began);
  }
  return millis;
}

const figures = new Map<string, number[]>(Object.keys(subjects).map((name) => [name, []]));
for (const run of Object.values(subjects)) await perSecond(run, warmMillis);
for (let round = 0; round < rounds; round += 1)
  for (const [name, run] of Object.entries(subjects))
    figures.get(name)?.push(await perSecond(run, millisPerTurn));
const speed = (name: string): number => median(figures.get(name) ?? []);
console.log(`${concurrency} runs at once`);
for (const [name, run] of Object.entries(subjects)) {
  const idle = await idleMillis(run);
  const times = (other: string): string => (speed(name) / speed(other)).toFixed(2);
  console.log(
    `  ${name.padEnd(30)}${speed(name).toFixed(1).padStart(7)} runs/s, ${times("invoke, our saver")} of invoke with our saver, ` +
      `${times("invoke, stock PostgresSaver")} x invoke with the stock saver; alone p50 ${percentile(idle, 0.5).toFixed(1)} ms, p99 ${percentile(idle, 0.99).toFixed(1)} ms`,
  );
}
for (const rival of rivals) await rival.stop();
await devServer.stop();
await holdfast.end();
several.kill("SIGTERM");
await several.exited;
await arena.close();
