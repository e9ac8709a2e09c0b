/**
 * How soon a stream begins and closes, how soon a cancel arrives, and what idle streams cost: npm run bench:streams
 * The API and the worker are processes of their own, but for the first lines, where one process does both.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type HoldfastProcess, startHoldfast } from "../test/support/holdfast-process.ts";
import { median, openArena, percentile } from "./support/arena.ts";
import { type Idle, idle, streamed, timeOfDay } from "./support/event-stream.ts";
import { post } from "./support/http-client.ts";

const runsEach = Number(process.env.BENCH_RUNS ?? 100);
const streamsTotal = Number(process.env.BENCH_STREAMS ?? 1_000);
const secondsPerTurn = Number(process.env.BENCH_SECONDS ?? 5);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const concurrency = 16;
const opensAtOnce = 32;
const unreadMegabytes = 60;
/** A reader that takes nothing is cut off after 15 s. */
const unreadSeconds = 20;
const settleMillis = 3_000;
const lookMillis = 20;
const looksMax = 500;

const arena = await openArena();
const start = (environment: Record<string, string>): Promise<HoldfastProcess> =>
  startHoldfast({
    DATABASE_URL: arena.url,
    LANGGRAPH_JSON: "bench/langgraph.json",
    WORKER_SLOTS: String(concurrency),
    DATABASE_CONNECTIONS: "12",
    STREAMS_PER_PRINCIPAL: "0",
    ...environment,
  });

const figures = (millis: number[]): string =>
  [0.5, 0.99, 1].map((share) => percentile(millis, share).toFixed(1).padStart(6)).join(" / ");
const rssMegabytes = ({ pid }: HoldfastProcess): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;

async function finishedAt(runId: string): Promise<number> {
  const { rows } = await arena.db.query({
    text: "select extract(epoch from finished_at)::float8 * 1000 as at from holdfast.runs where run_id = $1",
    values: [runId],
  });
  return Number(rows[0]?.at);
}

async function beginAndClose(name: string, { url }: HoldfastProcess): Promise<void> {
  const body = { assistant_id: "five", input: { log: [] }, stream_mode: "values" };
  const first: number[] = [];
  const late: number[] = [];
  for (let n = -5; n < runsEach; n += 1) {
    const { sentAt, firstAt, endedAt, text } = await streamed(`${url}/runs/stream`, body);
    if (n < 0) continue;
    first.push(firstAt - sentAt);
    late.push(endedAt - (await finishedAt(/"run_id":"([^"]+)"/.exec(text)?.[1] ?? "")));
  }
  console.log(`${name}, one run at a time, ms p50 / p99 / most`);
  console.log(`  first event after the request ${figures(first)}   (goal 15 / 50)`);
  console.log(`  stream closed after run's end ${figures(late)}   (goal 20)`);
}

async function cancels(api: HoldfastProcess, worker: HoldfastProcess): Promise<void> {
  const said = async (msg: string, runId: string): Promise<number> => {
    for (let looks = 0; looks < looksMax; looks += 1) {
      const line = worker.lines.find((one) => one.msg === msg && one.run_id === runId);
      if (line !== undefined) return Number(line.at);
      await sleep(lookMillis);
    }
    throw new Error(`the graph did not say "${msg}"`);
  };
  const millis: number[] = [];
  for (let n = 0; n < runsEach / 2; n += 1) {
    const run = JSON.parse(
      await post(`${api.url}/runs`, { assistant_id: "cancellable", input: {}, on_completion: "keep" }),
    );
    await said("works", run.run_id);
    const asked = timeOfDay();
    await post(`${api.url}/threads/${run.thread_id}/runs/${run.run_id}/cancel`, {});
    millis.push((await said("aborted", run.run_id)) - asked);
  }
  console.log(`cancel until the graph's signal, other process ${figures(millis)}   (goal 200)`);
}

async function runsPerSecond({ url }: HoldfastProcess): Promise<number> {
  const began = performance.now();
  let runs = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < began + secondsPerTurn * 1_000) {
        await post(`${url}/runs/wait`, { assistant_id: "five", input: { log: [] } });
        runs += 1;
      }
    }),
  );
  return runs / ((performance.now() - began) / 1_000);
}

/** Streams of as many threads that nothing happens on. */
async function openIdle({ url }: HoldfastProcess): Promise<Idle[]> {
  const open: Idle[] = [];
  let left = streamsTotal;
  await Promise.all(
    Array.from({ length: opensAtOnce }, async () => {
      while (left > 0) {
        left -= 1;
        const { thread_id } = JSON.parse(await post(`${url}/threads`, {}));
        open.push(await idle(`${url}/threads/${thread_id}/stream`, { reads: true }));
      }
    }),
  );
  return open;
}

/** The stream of a run of many megabytes, which has ended. */
async function talked({ url }: HoldfastProcess): Promise<string> {
  const body = {
    assistant_id: "talk",
    input: { megabytes: unreadMegabytes },
    stream_mode: "custom",
    on_completion: "keep",
  };
  const { thread_id, run_id } = JSON.parse(await post(`${url}/runs`, body));
  while ((await finishedAt(run_id)) === 0) await sleep(lookMillis);
  return `${url}/threads/${thread_id}/runs/${run_id}/stream`;
}

async function crowd(api: HoldfastProcess, unread: string): Promise<void> {
  await runsPerSecond(api);
  const without: number[] = [];
  const withStreams: number[] = [];
  const perStream: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    without.push(await runsPerSecond(api));
    await sleep(settleMillis);
    const before = rssMegabytes(api);
    const streams = await openIdle(api);
    await sleep(settleMillis);
    perStream.push(((rssMegabytes(api) - before) / streamsTotal) * 1_024);
    streams.push(await idle(unread, { reads: false }));
    withStreams.push(await runsPerSecond(api));
    for (const one of streams) one.leave();
    await sleep(settleMillis);
  }
  const ratio = median(withStreams) / median(without);
  console.log(`${streamsTotal} idle streams and one that never reads, ${concurrency} runs at once`);
  console.log(`  runs/s without ${shown(without)}, with ${shown(withStreams)}: ${ratio.toFixed(2)} of it`);
  console.log(`  RSS of the API process for each idle stream: ${shown(perStream)} KiB`);
}

const shown = (values: number[]): string => values.map((value) => value.toFixed(1)).join(" ");

async function neverRead(api: HoldfastProcess, unread: string): Promise<void> {
  const before = rssMegabytes(api);
  const stream = await idle(unread, { reads: false });
  let most = before;
  const until = performance.now() + unreadSeconds * 1_000;
  while (performance.now() < until) {
    most = Math.max(most, rssMegabytes(api));
    await sleep(lookMillis * 5);
  }
  stream.leave();
  console.log(
    `a stream of ${unreadMegabytes} MB that nobody reads: RSS of the API process ${before.toFixed(0)} MiB before, ` +
      `${most.toFixed(0)} at most, ${rssMegabytes(api).toFixed(0)} after`,
  );
}

const alone = await start({});
await beginAndClose("one process", alone);
await alone.end();
const api = await start({ ROLES: "http" });
const worker = await start({ ROLES: "worker" });
await beginAndClose("API and worker apart", api);
await cancels(api, worker);
const unread = await talked(api);
await crowd(api, unread);
await neverRead(api, unread);
await worker.end();
await api.end();
await arena.close();
