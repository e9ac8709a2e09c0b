// Five steps as a DBOS workflow, started through its queue, on the Postgres of DATABASE_URL.
import { DBOS } from "@dbos-inc/dbos-sdk";
import { concurrency, serveRuns, steps, stepText } from "./serve.mjs";

/** Its queues are polled; this is how soon, in place of a second. */
const pollMillis = 50;

const workflow = DBOS.registerWorkflow(
  async () => {
    const log = [];
    for (const n of steps) log.push(await DBOS.runStep(async () => stepText(n), { name: `s${n}` }));
    return log;
  },
  { name: "five" },
);
DBOS.setConfig({
  name: "five",
  systemDatabaseUrl: process.env.DATABASE_URL,
  systemDatabasePoolSize: 20,
  logLevel: "error",
});
await DBOS.launch();
await DBOS.registerQueue("runs", { workerConcurrency: concurrency, minPollingIntervalMs: pollMillis });
serveRuns(async () => {
  const handle = await DBOS.startWorkflow(workflow, { queueName: "runs" })();
  return handle.getResult();
});
