// The front door: the Agent Server API and our own routes, as a Hono app. It parses, calls one function and maps
// errors once; it never runs a graph's nodes for a run and holds no state that another process would miss.
// Read next: body.ts (what may come in), accept.ts (how a run is taken on), sse.ts (how its events go out).

import { Hono } from "hono";
import { TypescriptSchemas } from "../engine/typescript-schemas.ts";
import { GroupCreate } from "../queue/group-create.ts";
import { authenticate } from "./auth.ts";
import { cors } from "./cors.ts";
import { answerInTime } from "./deadline.ts";
import type { AppDeps, HttpDeps, HttpEnv } from "./deps.ts";
import { Ends } from "./ends.ts";
import { Refused, toResponse } from "./errors.ts";
import { refuseUnasked } from "./guard.ts";
import { resolveThreadKey } from "./keyed-path.ts";
import { limitRate } from "./rate-limit.ts";
import { assistantRoutes } from "./routes/assistants.ts";
import { breakerRoutes } from "./routes/breakers.ts";
import { cronRoutes } from "./routes/crons.ts";
import { deadLetterRoutes } from "./routes/dead-letters.ts";
import { docsRoutes } from "./routes/docs.ts";
import { escalationRoutes } from "./routes/escalations.ts";
import { graphRoutes } from "./routes/graphs.ts";
import { inspectRoutes } from "./routes/inspect.ts";
import { metaRoutes } from "./routes/meta.ts";
import { protocolRoutes } from "./routes/protocol.ts";
import { runRoutes } from "./routes/runs.ts";
import { stateRoutes } from "./routes/state.ts";
import { storeRoutes } from "./routes/store.ts";
import { threadRoutes } from "./routes/threads.ts";
import { uiRoutes } from "./routes/ui.ts";
import { webhookRoutes } from "./routes/webhooks.ts";
import { StreamSlots } from "./stream-slots.ts";
import { SystemAssistants } from "./system-assistants.ts";
import { ThreadKeys } from "./thread-keys.ts";
import { Wakes } from "./wake.ts";

type Routes = (deps: HttpDeps, app: Pick<Hono, "routes">) => Hono<HttpEnv>;
type Part = "assistants" | "threads" | "runs" | "store";

/** Those that belong to a part are left out where `http.disable_<part>` of langgraph.json says so. */
const routeGroups: readonly (readonly [Routes, Part?])[] = [
  [metaRoutes],
  [assistantRoutes, "assistants"],
  [graphRoutes, "assistants"],
  [threadRoutes, "threads"],
  [stateRoutes, "threads"],
  [cronRoutes, "runs"],
  [runRoutes, "runs"],
  [protocolRoutes, "runs"],
  [storeRoutes, "store"],
  [escalationRoutes],
  [deadLetterRoutes],
  [breakerRoutes],
  [inspectRoutes, "threads"],
  [webhookRoutes],
  [uiRoutes],
  [docsRoutes],
];

export function createApp(given: AppDeps): Hono<HttpEnv> {
  const { pollMillis, streamsPerPrincipalMax } = given.config;
  const wakes = new Wakes({ ...given, pollMillis });
  const slots = new StreamSlots(streamsPerPrincipalMax);
  const threadKeys = new ThreadKeys(given.db);
  const deps: HttpDeps = {
    ...given,
    creates: new GroupCreate(given.db),
    systemAssistants: new SystemAssistants(),
    ends: new Ends(given),
    wakes,
    slots,
    threadKeys,
    typescriptSchemas: new TypescriptSchemas(given, { secondsMax: given.config.schemaSecondsMax ?? 0 }),
  };
  const app = new Hono<HttpEnv>();
  app.use("*", cors(deps.programHttp?.cors));
  app.use("*", answerInTime(deps), authenticate(deps), limitRate(deps.config.requestsPerSecondMax));
  // Before ours: its middleware is around all routes, and its own may take the place of one of ours.
  if (deps.programApp !== undefined) app.route("/", deps.programApp);
  app.use("*", refuseUnasked());
  app.use("/threads/:thread_id/*", resolveThreadKey(deps.threadKeys));
  for (const [routes, part] of routeGroups) {
    if (part !== undefined && deps.programHttp?.[`disable_${part}`] === true) continue;
    app.route("/", routes(deps, app));
  }
  app.notFound((c) => toResponse(new Refused(404, "Not Found"), { path: c.req.path, log: deps.log }));
  app.onError((error, c) => {
    // The program's copy of Hono may be another one than ours: its HTTPException has no class in common.
    if ("getResponse" in error && typeof error.getResponse === "function")
      return error.getResponse() as Response;
    return toResponse(error, { path: c.req.path, log: deps.log });
  });
  return app;
}
