/**
 * Steps per second of one process, five-step graph, durability sync: npm run bench:steps
 * LangGraph's loop with MemorySaver is the ceiling; the stock PostgresSaver is what one has without Holdfast. `holdfast`
 * is bare graph.invoke with our saver; `worker` is the whole path of a run: created in the queue, claimed, its events
 * written, settled.
 */
import { MemorySaver } from "@langchain/langgraph";
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { newId } from "../src/domain/ids.ts";
import { median, openArena, type Spent } from "./support/arena.ts";
import { fiveSteps, stepsPerRun } from "./support/five-steps.ts";
import { load, warmMillis } from "./support/load.ts";
import { startQueue } from "./support/queue.ts";
import { FencedSavers } from "./support/savers.ts";

const concurrencies = (process.env.BENCH_AT ?? "1,16,64,256").split(",").map(Number);
const millisPerTurn = Number(process.env.BENCH_SECONDS ?? 2) * 1_000;
const warmAt = 64;
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const only = process.env.BENCH_ONLY?.split(",");

/** One run, start to end. */
type Run = () => Promise<unknown>;

interface Figure {
  stepsPerSecond: number;
  spent: Spent;
  steps: number;
}

async function measure(run: Run, at: number, millis: number): Promise<Figure> {
  await savers.prepare();
  const before = await arena.spent();
  const { runs, perSecond } = await load(run, { at, millis });
  const after = await arena.spent();
  return {
    stepsPerSecond: perSecond * stepsPerRun,
    steps: runs * stepsPerRun,
    spent: difference(before, after),
  };
}

const difference = (a: Spent, b: Spent): Spent => ({
  nodeMillis: b.nodeMillis - a.nodeMillis,
  postgresMillis:
    a.postgresMillis === null || b.postgresMillis === null ? null : b.postgresMillis - a.postgresMillis,
  walBytes: b.walBytes - a.walBytes,
  statements: b.statements - a.statements,
});

const builder = fiveSteps();

function invoking(next: () => { threadId: string; saver: BaseCheckpointSaver }): Run {
  return async () => {
    const { threadId, saver } = next();
    const graph = builder.compile({ checkpointer: saver });
    await graph.invoke({ log: [] }, { configurable: { thread_id: threadId }, durability: "sync" });
  };
}

function print(concurrency: number, figures: Map<string, Figure[]>): void {
  const speed = (name: string): number => median((figures.get(name) ?? []).map((f) => f.stepsPerSecond));
  console.log(`${concurrency} at once`);
  for (const [name, list] of figures) {
    const per = (of: (spent: Spent) => number | null): number =>
      list.reduce((sum, { spent }) => sum + (of(spent) ?? Number.NaN), 0) /
      list.reduce((sum, { steps }) => sum + steps, 0);
    const columns = [
      `${speed(name).toFixed(0).padStart(6)} steps/s`,
      `${(speed(name) / speed("stock")).toFixed(2)} x stock`,
      `${(speed(name) / speed("memory")).toFixed(2)} of memory`,
      `a step: node ${(per((s) => s.nodeMillis) * 1_000).toFixed(0)} µs`,
      `Postgres ${(per((s) => s.postgresMillis) * 1_000).toFixed(0)} µs`,
      `${per((s) => s.statements).toFixed(2)} statements`,
      `${per((s) => s.walBytes).toFixed(0)} B of WAL`,
    ];
    console.log(`  ${name.padEnd(9)}${columns.join(", ")}`);
  }
}

const arena = await openArena();
const { db } = arena;
const memory = new MemorySaver();
const stock = new PostgresSaver(db.pool);
const savers = new FencedSavers(db);
const queue = await startQueue(arena.url, { slotsMax: Math.max(...concurrencies) });
const subjects: Record<string, Run> = {
  memory: invoking(() => ({ threadId: newId(), saver: memory })),
  stock: invoking(() => ({ threadId: newId(), saver: stock })),
  holdfast: invoking(() => savers.take()),
  worker: queue.run,
};
const chosen = Object.entries(subjects).filter(([name]) => only?.includes(name) ?? true);
for (const [, run] of chosen) await measure(run, warmAt, warmMillis);
for (const concurrency of concurrencies) {
  const figures = new Map<string, Figure[]>(chosen.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const [name, run] of chosen) figures.get(name)?.push(await measure(run, concurrency, millisPerTurn));
  print(concurrency, figures);
}
await queue.stop();
await arena.close();
