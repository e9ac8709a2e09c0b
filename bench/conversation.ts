/**
 * Bytes and time of a turn of a long conversation beside one of a short one: npm run bench:conversation
 * A turn is one message and one answer of 400 bytes. `all` is what Postgres writes ahead of a whole run: checkpoints,
 * pending writes, events, output; the parts are what lies in their columns.
 */
import { HumanMessage } from "@langchain/core/messages";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { newId } from "../src/domain/ids.ts";
import { median, openArena } from "./support/arena.ts";
import { chat } from "./support/chat.ts";
import { request, startQueue } from "./support/queue.ts";

const turns = Number(process.env.BENCH_TURNS ?? 1_000);
const secondsPerSubject = Number(process.env.BENCH_SECONDS ?? 70);
const turnsEarly = 100;
const turnsPerWindow = 40;
const text = "question ".repeat(45);

interface Turn {
  millis: number;
  bytes: number;
}

const arena = await openArena();
const queue = await startQueue(arena.url, { slotsMax: 4 });
const stock = chat().compile({ checkpointer: new PostgresSaver(arena.db.pool) });
const subjects: Record<string, (threadId: string) => Promise<unknown>> = {
  "stock saver, bare invoke": (threadId) =>
    stock.invoke(
      { messages: [new HumanMessage(text)] },
      { configurable: { thread_id: threadId }, durability: "sync" },
    ),
  "Holdfast, whole run": (threadId) =>
    queue.finished(request("chat", { messages: [{ type: "human", content: text }] }, threadId)),
};

async function measured(turn: () => Promise<unknown>): Promise<Turn> {
  const [before, at] = [await arena.spent(), performance.now()];
  await turn();
  const millis = performance.now() - at;
  return { millis, bytes: (await arena.spent()).walBytes - before.walBytes };
}

/** How many turns there were time for. */
async function converse(turn: () => Promise<unknown>, turnsMax: number): Promise<number> {
  const began = performance.now();
  let count = 0;
  for (; count < turnsMax && performance.now() < began + secondsPerSubject * 1_000; count += 1) await turn();
  return count;
}

const of = (told: Turn[]): Turn => ({
  bytes: told.reduce((sum, each) => sum + each.bytes, 0) / told.length,
  millis: median(told.map(({ millis }) => millis)),
});

async function partsOf(threadId: string): Promise<string> {
  const { rows } = await arena.db.query({
    text: `select (select sum(pg_column_size(blob)) from public.checkpoint_blobs where thread_id = $1::uuid::text)::float8 as blobs,
       (select sum(pg_column_size(blob)) from public.checkpoint_writes where thread_id = $1::uuid::text)::float8 as writes,
       (select sum(pg_column_size(e.data)) from holdfast.run_events e join holdfast.runs r using (run_id) where r.thread_id = $1)::float8 as events,
       (select sum(pg_column_size(output)) from holdfast.runs where thread_id = $1)::float8 as outputs`,
    values: [threadId],
  });
  return Object.entries(rows[0] ?? {})
    .map(([name, bytes]) => `${name} ${(Number(bytes) / 1_000).toFixed(0)} kB`)
    .join(", ");
}

for (const [name, turn] of Object.entries(subjects)) {
  const threads = { long: newId(), short: newId() };
  const last = await converse(() => turn(threads.long), turns - turnsPerWindow);
  await converse(() => turn(threads.short), turnsEarly - turnsPerWindow);
  // In turn, since a machine gets slower or faster meanwhile.
  const told: { early: Turn[]; late: Turn[] } = { early: [], late: [] };
  for (let n = 0; n < turnsPerWindow; n += 1) {
    told.early.push(await measured(() => turn(threads.short)));
    told.late.push(await measured(() => turn(threads.long)));
  }
  const [early, late] = [of(told.early), of(told.late)];
  console.log(
    `${name}: turn ${turnsEarly} ${(early.bytes / 1_000).toFixed(0)} kB in ${early.millis.toFixed(0)} ms, ` +
      `turn ${last + turnsPerWindow} ${(late.bytes / 1_000).toFixed(0)} kB in ${late.millis.toFixed(0)} ms: ` +
      `${(late.bytes / early.bytes).toFixed(2)} x the bytes, ${(late.millis / early.millis).toFixed(2)} x the time; stored: ${await partsOf(threads.long)}`,
  );
}
await queue.stop();
await arena.close();
