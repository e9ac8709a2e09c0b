// Five steps as a BullMQ job that writes its state to the Postgres of DATABASE_URL after each; the queue in the Redis of REDIS_PORT.
import { randomUUID } from "node:crypto";
import { Queue, QueueEvents, Worker } from "bullmq";
import pg from "pg";
import { concurrency, serveRuns, steps, stepText } from "./serve.mjs";

const connection = { host: "127.0.0.1", port: Number(process.env.REDIS_PORT), maxRetriesPerRequest: null };
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
await pool.query("create table if not exists job_states (id uuid primary key, state jsonb not null)");

const work = async ({ data: { id } }) => {
  const log = [];
  for (const n of steps) {
    log.push(stepText(n));
    await pool.query(
      "insert into job_states (id, state) values ($1, $2) on conflict (id) do update set state = excluded.state",
      [id, JSON.stringify({ log })],
    );
  }
  return log;
};
const queue = new Queue("five", { connection });
const events = new QueueEvents("five", { connection });
const worker = new Worker("five", work, { connection, concurrency });
await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
serveRuns(async () => {
  const job = await queue.add("run", { id: randomUUID() }, { removeOnComplete: true });
  return job.waitUntilFinished(events);
});
