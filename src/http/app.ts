// The front door: the Agent Server API and our own routes, as a Hono app. It parses, calls one function and maps
// errors once; it never runs a graph's nodes for a run and holds no state that another process would miss.
// Read next: body.ts (what may come in), accept.ts (how a run is taken on), sse.ts (how its events go out).
import { Hono } from "hono";
import { cors } from "hono/cors";
import { authenticate } from "./auth.ts";
import { answerInTime } from "./deadline.ts";
import type { AppDeps, HttpDeps, HttpEnv } from "./deps.ts";
import { Refused, toResponse } from "./errors.ts";
import { refuseUnasked } from "./guard.ts";
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
import { webhookRoutes } from "./routes/webhooks.ts";
import { StreamSlots } from "./stream-slots.ts";
import { Wakes } from "./wake.ts";

const exposeHeaders = [
  "content-location",
  "location",
  "x-pagination-total",
  "x-pagination-next",
  "retry-after",
];

const routeGroups = [
  metaRoutes,
  assistantRoutes,
  graphRoutes,
  threadRoutes,
  stateRoutes,
  cronRoutes,
  runRoutes,
  protocolRoutes,
  storeRoutes,
  escalationRoutes,
  deadLetterRoutes,
  breakerRoutes,
  inspectRoutes,
  webhookRoutes,
  docsRoutes,
];

export function createApp(given: AppDeps): Hono<HttpEnv> {
  const { pollMillis, streamsPerPrincipalMax } = given.config;
  const wakes = new Wakes({ ...given, pollMillis });
  const deps: HttpDeps = { ...given, wakes, slots: new StreamSlots(streamsPerPrincipalMax) };
  const app = new Hono<HttpEnv>();
  app.use("*", cors({ origin: "*", exposeHeaders }));
  app.use("*", answerInTime(deps), authenticate(deps), limitRate(deps.config.requestsPerSecondMax));
  app.use("*", refuseUnasked());
  for (const routes of routeGroups) app.route("/", routes(deps));
  app.notFound((c) => toResponse(new Refused(404, "Not Found"), { path: c.req.path, log: deps.log }));
  app.onError((error, c) => toResponse(error, { path: c.req.path, log: deps.log }));
  return app;
}
