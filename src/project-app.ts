// The HTTP app of a project: its own auth and its own routes around ours.
import type { ImportModule } from "./engine/exported.ts";
import type { Project } from "./engine/project.ts";
import { createApp } from "./http/app.ts";
import type { HttpConfig } from "./http/deps.ts";
import { postInside } from "./http/inside.ts";
import { bindClientFetch } from "./http/loopback.ts";
import { loadProgramApp } from "./http/program-app.ts";
import { loadProgramAuth } from "./http/program-auth.ts";
import { loadProgramUi } from "./http/program-ui.ts";
import { type Runtime, startWebhooks } from "./runtime.ts";
import type { WebhookOptions } from "./webhooks/sender.ts";

interface Opening {
  runtime: Runtime;
  project: Project;
  importModule: ImportModule;
  config: HttpConfig;
  ready: () => Promise<boolean>;
  /** Webhooks of runs, those to a path of the app: only a process that has it can send them. */
  webhooks: Pick<WebhookOptions, "secrets" | "allowPrivate">;
}

export interface ProjectApp {
  app: ReturnType<typeof createApp>;
  /** Whether the project itself says who callers are. */
  hasAuth: boolean;
  stop(): Promise<void>;
}

/** Throws ProjectError where a module that the project names is not what it should be. */
export async function openProjectApp({
  runtime,
  project,
  importModule,
  config,
  ready,
  webhooks,
}: Opening): Promise<ProjectApp> {
  const auth = await loadProgramAuth(project, importModule);
  const programApp = await loadProgramApp(project, importModule);
  const programUi = await loadProgramUi(project, importModule);
  const own = { auth, programApp, programUi, programHttp: project.http };
  const app = createApp({ ...runtime, ...own, config, ready });
  const unbind = bindClientFetch(app);
  const sending = startWebhooks(runtime, { ...webhooks, inside: postInside(app, { auth }), outside: false });
  const stop = async (): Promise<void> => {
    await sending.stop();
    unbind();
  };
  return { app, hasAuth: auth !== undefined, stop };
}
