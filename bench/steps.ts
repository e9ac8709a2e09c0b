/**
 * Steps per second of one process, five-step graph, durability sync: npm run bench:steps
 * LangGraph's loop with MemorySaver is the ceiling; the stock PostgresSaver is what one has without Holdfast.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Annotation, END, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { GroupCommit } from "../src/checkpoint/group-commit.ts";
import { FencedSaver } from "../src/checkpoint/saver.ts";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";
import { migrate } from "../src/db/migrate.ts";
import { type Database, openDatabase } from "../src/db/pool.ts";
import { newId } from "../src/domain/ids.ts";

const steps = 5;
const concurrencies = (process.env.BENCH_AT ?? "1,16,64,256").split(",").map(Number);
const secondsPerRound = Number(process.env.BENCH_SECONDS ?? 4);
const rounds = 3;
const textBytes = 200;

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

function fiveSteps() {
  const step = (n: number) => () => ({ log: [`${n}`.repeat(textBytes)] });
  const graph = new StateGraph(State)
    .addNode("s1", step(1))
    .addNode("s2", step(2))
    .addNode("s3", step(3))
    .addNode("s4", step(4))
    .addNode("s5", step(5));
  graph
    .addEdge(START, "s1")
    .addEdge("s1", "s2")
    .addEdge("s2", "s3")
    .addEdge("s3", "s4")
    .addEdge("s4", "s5")
    .addEdge("s5", END);
  return graph;
}

type SaverFor = (threadId: string) => Promise<BaseCheckpointSaver>;

/** Runs for the given time, `concurrency` at once; steps per second. */
async function measure(saverFor: SaverFor, concurrency: number): Promise<number> {
  const builder = fiveSteps();
  const end = performance.now() + secondsPerRound * 1_000;
  const began = performance.now();
  let done = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < end) {
        const threadId = newId();
        const checkpointer = await saverFor(threadId);
        const graph = builder.compile({ checkpointer });
        await graph.invoke({ log: [] }, { configurable: { thread_id: threadId }, durability: "sync" });
        done += steps;
      }
    }),
  );
  return done / ((performance.now() - began) / 1_000);
}

/** A thread and a running run, as a worker would hold them. */
async function claimed(db: Database, threadId: string): Promise<string> {
  const runId = newId();
  await db.query({
    text: `with t as (insert into holdfast.threads (thread_id, status) values ($1, 'busy') returning thread_id)
      insert into holdfast.runs (run_id, thread_id, assistant_id, graph_id, status, multitask_strategy, available_at, kwargs, epoch, lease_until)
      select $2, thread_id, $2, 'bench', 'running', 'enqueue', now(), '{}', 1, now() + interval '1 hour' from t`,
    values: [threadId, runId],
  });
  return runId;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
const postgres = await startEmbeddedPostgres({
  dataDir: join(folder, "pg"),
  log: { info: () => undefined },
  stopOnExit: true,
});
await migrate(postgres.url);
const db = openDatabase({ url: postgres.url, connectionsMax: 10 });
const group = new GroupCommit(db);
const memory = new MemorySaver();
const stock = new PostgresSaver(db.pool);
const savers: Record<string, SaverFor> = {
  memory: async () => memory,
  stock: async () => stock,
  holdfast: async (threadId) => {
    const runId = await claimed(db, threadId);
    return new FencedSaver({ db, group, holder: { kind: "run", runId, threadId, epoch: 1 } });
  },
};
for (const concurrency of concurrencies) {
  const figures = new Map<string, number[]>(Object.keys(savers).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const [name, saverFor] of Object.entries(savers))
      figures.get(name)?.push(await measure(saverFor, concurrency));
  const [ours, ceiling, base] = ["holdfast", "memory", "stock"].map((name) =>
    median(figures.get(name) ?? []),
  );
  console.log(
    `${concurrency} at once: memory ${ceiling?.toFixed(0)}, stock ${base?.toFixed(0)}, holdfast ${ours?.toFixed(0)} steps/s; ` +
      `${((ours ?? 0) / (base ?? 1)).toFixed(2)} x stock, ${((ours ?? 0) / (ceiling ?? 1)).toFixed(2)} of memory`,
  );
}
await db.close();
await postgres.stop();
rmSync(folder, { recursive: true, force: true });
