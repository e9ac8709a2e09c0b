// The program as a child of its worker: it opens what a worker opens and runs what it is handed. When its worker has
// died it claims suspects itself for a while.
// Read next: worker/isolated-child.ts, which is the parent's side.
import path from "node:path";
import type { Config } from "./config.ts";
import { claimSuspect } from "./db/queries/claim.ts";
import type { RunRow } from "./db/queries/rows.ts";
import { one } from "./db/query.ts";
import { readProject } from "./engine/project.ts";
import { openGraphModules } from "./graph-modules.ts";
import type { Log } from "./observe/log.ts";
import { workerDeps } from "./runtime.ts";
import { holding, openRoleRuntime } from "./serve.ts";
import { trapStrays } from "./worker/guests.ts";
import { HeldRuns } from "./worker/held-runs.ts";
import type { FromChild, ToChild } from "./worker/isolated-child.ts";

const signals = ["SIGINT", "SIGTERM"] as const;
const failedExitCode = 1;
/**
 * A process that has lost its parent goes on with suspects for so long, as it has been started and another one would
 * have to be; then it gives its run back at the next step. Where workers die all the time nobody else gets to them.
 */
const orphanMillisMax = 10_000;

/** Runs until the parent says stop, or is gone. */
export async function serveSuspects(config: Config, log: Log): Promise<void> {
  if (process.send === undefined)
    throw new Error("this command is for the program itself: a worker starts it");
  const orphaned = new Promise<void>((resolve) => process.once("disconnect", () => resolve()));
  // What a parent that is gone would have read can be told to nobody.
  process.stderr.on("error", () => undefined);
  // A terminal signals the whole group: the parent decides when its runs are given back.
  for (const signal of signals) process.on(signal, () => undefined);
  trapStrays(log);
  const told = new Promise<ToChild>((resolve) => process.once("message", resolve));
  const first = await Promise.race([told, orphaned]);
  if (first === undefined) process.exit(failedExitCode);
  if (!("open" in first)) throw new Error("the first message must say which database to open");
  const runtime = await openRoleRuntime({
    config,
    log,
    url: first.open.url,
    project: await readProject(path.resolve(config.LANGGRAPH_JSON)),
    importModule: openGraphModules(),
  });
  const held = new HeldRuns(workerDeps(runtime, holding(config, first.open.url)));
  held.start();
  const work = async (run: RunRow): Promise<void> => {
    const outcome = await held.begin(run);
    tell({ ended: { runId: run.run_id, epoch: run.epoch, outcome } });
  };
  let goesOn = true;
  const stop = async (deadlineMillis: number): Promise<void> => {
    goesOn = false;
    await held.stop(deadlineMillis);
    await runtime.stop();
    process.exit(0);
  };
  const fail = (error: unknown): void => {
    log.error({ error }, "a process for suspects failed");
    process.exit(failedExitCode);
  };
  const goOnAlone = async (): Promise<void> => {
    const { registry, db } = runtime;
    const claim = { ...first.open, graphIds: registry.graphIds, leaseSeconds: config.LEASE_SECONDS };
    const until = performance.now() + orphanMillisMax;
    for (let left = orphanMillisMax; left > 0; left = until - performance.now()) {
      await held.allEnded(left);
      const run = goesOn && held.size === 0 ? one(await claimSuspect(db, claim)) : undefined;
      if (run === undefined) break;
      // What failed may have left something behind that kills the next one.
      void held.begin(run).then((end) => {
        goesOn &&= end === "success";
      });
    }
    await stop(orphanMillisMax);
  };
  process.on("message", (message: ToChild) => {
    if ("work" in message) work(message.work).catch(fail);
    else if ("stop" in message) stop(message.stop).catch(fail);
  });
  await held.ready();
  orphaned.then(goOnAlone).catch(fail);
  tell({ ready: true });
}

const tell = (message: FromChild): void => {
  if (process.connected) process.send?.(message);
};
