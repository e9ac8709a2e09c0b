// The server inside another program, without a port of its own.
import type { LogLevel } from "./observe/log.ts";

type Settings = Readonly<Record<string, string | undefined>>;

export interface OpenServerOptions {
  /** Settings by their names in docs/operations.md, `DATABASE_URL` and `LANGGRAPH_JSON` above all; else the environment's. */
  settings?: Settings;
  /** Whether runs are done here as well, as they are unless this is false; else some `holdfast worker` does them. */
  worker?: boolean;
  /** Where the other program mounts it, as "/agents". */
  basePath?: string;
  /** False lets everybody in as long as there is no API key: for a program that asks its callers itself. */
  authRequired?: boolean;
}

export interface OpenedServer {
  /** Answers a request whose path begins behind `basePath`. What a Hono app hands on beside it may be handed on. */
  fetch(request: Request, bindings?: object): Promise<Response>;
  /** Gives runs back and closes the database; to be called once, after the last request. */
  stop(): Promise<void>;
}

const basePathShape = /^(\/[\w.~-]+)*$/;

/**
 * Opens the server of a project, to be mounted in another program. Rejects with every setting that is wrong, or with
 * what is wrong about the project.
 */
export async function openServer(options: OpenServerOptions = {}): Promise<OpenedServer> {
  const { settings = {}, worker = true, basePath = "", authRequired = true } = options;
  if (!basePathShape.test(basePath))
    throw new TypeError(
      `basePath: ${JSON.stringify(basePath)} is no path such as "/agents", without a slash at its end`,
    );
  // Graphs import this package: they do not load a server with it.
  const [{ readConfig }, { addProjectEnvironment }, { openLog }, { openRoles }, { trapStrays }] =
    await Promise.all([
      import("./config.ts"),
      import("./environment.ts"),
      import("./observe/log.ts"),
      import("./serve.ts"),
      import("./worker/guests.ts"),
    ]);
  const { env } = process;
  const environment = { ...env, ...settings };
  const notes = await addProjectEnvironment(environment);
  // What `env` of langgraph.json says is for the graphs, which look here.
  for (const [name, value] of Object.entries(environment)) if (!(name in settings)) env[name] ??= value;
  const config = readConfig({ ...environment, ROLES: worker ? "http,worker" : "http" });
  const log = openLog(config.LOG_LEVEL as LogLevel);
  for (const note of notes) log.warn(note);
  const closed = authRequired ? "callers must be known (authRequired)" : null;
  // LangGraph leaves rejected promises behind when a run is aborted: without traps Node would end the whole program.
  const untrap = worker ? trapStrays(log) : () => undefined;
  try {
    const { app, drain, stop } = await openRoles({
      config,
      log,
      standIn: null,
      mainFile: null,
      closed,
      basePath,
    });
    return {
      fetch: async (request, bindings) =>
        app?.fetch(request, bindings) ?? new Response(null, { status: 404 }),
      async stop() {
        drain();
        await stop();
        untrap();
      },
    };
  } catch (error) {
    untrap();
    throw error;
  }
}
