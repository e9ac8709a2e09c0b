/**
 * Bytes and time of a turn as a conversation grows: npm run bench:conversation
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
const turnsPerWindow = 20;
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

async function converse(turn: () => Promise<unknown>): Promise<Turn[]> {
  const told: Turn[] = [];
  const began = performance.now();
  while (told.length < turns && performance.now() < began + secondsPerSubject * 1_000) {
    const [before, at] = [await arena.spent(), performance.now()];
    await turn();
    const millis = performance.now() - at;
    told.push({ millis, bytes: (await arena.spent()).walBytes - before.walBytes });
  }
  return told;
}

const around = (told: Turn[], turn: number): Turn => {
  const window = told.slice(Math.max(0, turn - turnsPerWindow), turn);
  const bytes = window.reduce((sum, each) => sum + each.bytes, 0) / window.length;
  return { bytes, millis: median(window.map(({ millis }) => millis)) };
};

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
  const threadId = newId();
  const told = await converse(() => turn(threadId));
  const last = told.length;
  const early = around(told, Math.min(100, last));
  const late = around(told, last);
  console.log(
    `${name}: turn ${Math.min(100, last)} ${(early.bytes / 1_000).toFixed(0)} kB in ${early.millis.toFixed(0)} ms, ` +
      `turn ${last} ${(late.bytes / 1_000).toFixed(0)} kB in ${late.millis.toFixed(0)} ms: ` +
      `${(late.bytes / early.bytes).toFixed(2)} x the bytes, ${(late.millis / early.millis).toFixed(2)} x the time; stored: ${await partsOf(threadId)}`,
  );
}
await queue.stop();
await arena.close();
