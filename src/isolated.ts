// The program as a child of its worker: it opens what a worker opens, claims nothing, and runs what it is handed.
// Read next: worker/isolated-child.ts, which is the parent's side.
import type { Config } from "./config.ts";
import type { RunRow } from "./db/queries/rows.ts";
import type { Log } from "./observe/log.ts";
import { workerDeps } from "./runtime.ts";
import { holding, openRoleRuntime } from "./serve.ts";
import { trapStrays } from "./worker/guests.ts";
import { HeldRuns } from "./worker/held-runs.ts";
import type { FromChild, ToChild } from "./worker/isolated-child.ts";

const signals = ["SIGINT", "SIGTERM"] as const;
const failedExitCode = 1;
/** A process that has lost its parent may finish its run in this time; then it gives it back at the next step. */
const orphanMillisMax = 10_000;

/** Runs until the parent says stop, or is gone. */
export async function serveSuspects(config: Config, log: Log): Promise<void> {
  if (process.send === undefined)
    throw new Error("this command is for the program itself: a worker starts it");
  let leave = async (): Promise<void> => process.exit(failedExitCode);
  process.once("disconnect", () => void leave());
  // What a parent that is gone would have read can be told to nobody.
  process.stderr.on("error", () => undefined);
  // A terminal signals the whole group: the parent decides when its runs are given back.
  for (const signal of signals) process.on(signal, () => undefined);
  trapStrays(log);
  const first = await new Promise<ToChild>((resolve) => process.once("message", resolve));
  if (!("open" in first)) throw new Error("the first message must say which database to open");
  const runtime = await openRoleRuntime(config, log, first.open.url);
  const held = new HeldRuns(workerDeps(runtime, holding(config, first.open.url)));
  held.start();
  const work = async (run: RunRow): Promise<void> => {
    const outcome = await held.begin(run);
    tell({ ended: { runId: run.run_id, epoch: run.epoch, outcome } });
  };
  const stop = async (deadlineMillis: number): Promise<void> => {
    await held.stop(deadlineMillis);
    await runtime.stop();
    process.exit(0);
  };
  const fail = (error: unknown): void => {
    log.error({ error }, "a process for suspects failed");
    process.exit(failedExitCode);
  };
  leave = () =>
    held
      .allEnded(orphanMillisMax)
      .then(() => stop(orphanMillisMax))
      .catch(fail);
  process.on("message", (message: ToChild) => {
    if ("work" in message) work(message.work).catch(fail);
    else if ("stop" in message) stop(message.stop).catch(fail);
  });
  await held.ready();
  tell({});
}

const tell = (message: FromChild): void => {
  if (process.connected) process.send?.(message);
};
