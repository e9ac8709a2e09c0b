import { Client, type Cron } from "@langchain/langgraph-sdk";
import type { CronRow, RunRow } from "../../src/db/queries/rows.ts";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { listen } from "../../src/http/listen.ts";
import { fireDueCrons } from "../../src/queue/crons.ts";
import { startRuntime, type TestRuntime } from "./runtime.ts";

export interface CronScene {
  runtime: TestRuntime;
  client: Client;
  url: string;
  /** Sets the database's clock, and lets one scheduler look. */
  at(time: string): ReturnType<typeof fireDueCrons>;
  rowOf(cron: { cron_id: string }): Promise<CronRow>;
  runsOf(cron: { cron_id: string }): Promise<RunRow[]>;
  close(): Promise<void>;
}

/** A server at half past nine, in UTC, without a worker. */
export async function cronScene(): Promise<CronScene> {
  const runtime = await startRuntime({ listen: false });
  runtime.clock.set(new Date("2026-05-01T09:30:00Z"));
  const config = { ...httpDefaults, version: "test" };
  const app = createApp({ ...runtime, config, ready: async () => true });
  const server = await listen({ app, host: "127.0.0.1", port: 0 });
  const rows = async <R>(text: string, id: string): Promise<R[]> =>
    (await runtime.db.query({ text, values: [id] })).rows as R[];
  return {
    runtime,
    client: new Client({ apiUrl: server.url, callerOptions: { maxRetries: 0 } }),
    url: server.url,
    at(time) {
      runtime.clock.set(new Date(time));
      return fireDueCrons(runtime);
    },
    rowOf: async ({ cron_id }) => {
      const [row] = await rows<CronRow>("select * from holdfast.crons where cron_id = $1", cron_id);
      if (row === undefined) throw new Error(`no cron ${cron_id}`);
      return row;
    },
    runsOf: ({ cron_id }) =>
      rows("select * from holdfast.runs where metadata ->> 'cron_id' = $1 order by seq", cron_id),
    async close() {
      await server.stop();
      await runtime.close();
    },
  };
}

/** The SDK's type of what `create` returns leaves out half of it. */
export const asCronOf = (created: unknown): Cron & { missed: string; last_error: string | null } =>
  created as Cron & { missed: string; last_error: string | null };
