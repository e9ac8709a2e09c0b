#!/usr/bin/env node
// The command line: serve | dev | new | worker | migrate | keys | dead-letters. It reads the environment, starts what a role needs and stops it
// in reverse order. It must hold no logic of its own. Read next: runtime.ts.
import { fileURLToPath } from "node:url";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { addProjectEnvironment } from "./environment.ts";
import type { Membership } from "./member.ts";
import { armFailpoints } from "./observe/armed-failpoints.ts";
import { type Log, openLog } from "./observe/log.ts";
import { isolatedCommand, memberCommand, settingsOf } from "./options.ts";
import { poolRandomValues } from "./random-pool.ts";

const usage = `holdfast <command>

  serve             HTTP and worker in one process (ROLES=http,worker)
  dev               the same, started again when a file of the project changes
  new NAME          write a project with a graph, a validator and a test into a new folder
  worker            the same with ROLES=worker
  migrate           bring the schema up to date and exit
  keys create NAME  make an API key, shown once
  keys list         names and dates
  keys revoke NAME  end a key
  dead-letters      list, groups, show, redrive, discard: without more it explains itself

serve, dev and worker take the options of langgraph dev: --port, --host, --config, --n-jobs-per-worker, --no-browser.
Settings come from the environment: docs/operations.md lists them.
`;

const isServer = (command: string): boolean =>
  command === "serve" || command === "dev" || command === "worker";

const mainFile = fileURLToPath(import.meta.url);

/** After a graceful stop something may still hold the loop, a trace that nobody takes for one: exit anyway. */
const exitGraceMillis = 2_000;

/** Each command loads what it needs: LangGraph and the graphs' packages take a second, and `dev` needs them in its child alone. */
async function main(argv: readonly string[]): Promise<void> {
  const [command = "serve", ...rest] = argv;
  // Before the settings of the project around it are read: it has none yet.
  if (command === "new") {
    const { writeProject } = await import("./new-project.ts");
    return writeProject(process.cwd(), rest);
  }
  if (isServer(command)) Object.assign(process.env, settingsOf(command, rest));
  // A child that is started anew reads the project's variables anew.
  const startedWith = { ...process.env };
  const notes = await addProjectEnvironment(process.env);
  const config = readConfig(command === "worker" ? { ...process.env, ROLES: "worker" } : process.env);
  armFailpoints(config.HOLDFAST_FAILPOINTS);
  const log = openLog(config.LOG_LEVEL as Parameters<typeof openLog>[0]);
  if (command === "migrate") return (await import("./database.ts")).migrateOnly(config, log);
  if (command === "keys") return (await import("./keys.ts")).manageKeys(config, log, rest);
  // Its output may be read by a program: no log lines between.
  if (command === "dead-letters")
    return (await import("./dead-letters.ts")).manageDeadLetters(config, openLog("silent"), rest);
  if (command === isolatedCommand) return (await import("./isolated.ts")).serveSuspects(config, log);
  if (command === "dev") {
    const { develop } = await import("./dev.ts");
    return untilStopped((signal) => develop(config, log, { environment: startedWith, mainFile, signal }));
  }
  if (command === memberCommand) {
    const parent = (await import("./member.ts")).joinParent();
    return serveHere(config, log, parent);
  }
  if (command !== "serve" && command !== "worker") {
    process.stderr.write(usage);
    process.exitCode = command === "help" || command === "--help" ? 0 : 2;
    return;
  }
  for (const note of notes) log.warn(note);
  if (config.PROCESSES === 1) return serveHere(config, log, null);
  const workerId = process.env.WORKER_ID || undefined;
  const { serveSeveral } = await import("./processes.ts");
  await untilStopped((signal) => serveSeveral(config, log, { mainFile, workerId, signal }));
}

async function serveHere(config: Config, log: Log, parent: Membership | null): Promise<void> {
  const [{ serve }, { trapStrays }, { makeRunTreesLazily }, langchain] = await Promise.all([
    import("./serve.ts"),
    import("./worker/guests.ts"),
    import("./lazy-run-trees.ts"),
    import("@langchain/core/singletons"),
  ]);
  trapStrays(log);
  poolRandomValues(globalThis.crypto);
  makeRunTreesLazily(langchain.AsyncLocalStorageProviderSingleton);
  const server = await serve(config, log, {
    environment: process.env,
    mainFile,
    ...(parent === null ? {} : { metricsOfAll: parent.metricsOfAll }),
  });
  parent?.up();
  await Promise.race([untilSignal(), ...(parent === null ? [] : [parent.stopWanted])]);
  log.info("stopping: runs go back at their next step");
  await server.stop();
  setTimeout(() => process.exit(), exitGraceMillis).unref();
}

/** For what has processes below it: they are stopped before this one ends. */
async function untilStopped(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stopped = new AbortController();
  const working = work(stopped.signal);
  await Promise.race([untilSignal(), working]);
  stopped.abort();
  await working;
}

/** SIGTERM and SIGINT stop gracefully, as does the end of a parent that talks to us; a second one ends at once. */
function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.once("SIGINT", () => process.exit(130));
      process.once("SIGTERM", () => process.exit(143));
      resolve();
    };
    process.once("SIGTERM", stop);
    process.once("SIGINT", stop);
    process.once("disconnect", stop);
  });
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof ConfigError || ["ProjectError", "NotUp"].includes((error as Error).name);
  process.stderr.write(`${known ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`);
  process.exit(1);
}
