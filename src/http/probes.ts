import { Hono } from "hono";
import { authenticate } from "./auth.ts";
import type { AppDeps, HttpConfig, HttpEnv } from "./deps.ts";
import { Refused, toResponse } from "./errors.ts";
import { probeRoutes } from "./routes/meta.ts";

export type ProbeDeps = Pick<AppDeps, "db" | "log" | "metrics" | "ready"> & {
  config: Pick<HttpConfig, "authRequired">;
};

/** What a process without the API answers: that it lives, whether it is ready, and its metrics, behind a key as ever. */
export function createProbes(deps: ProbeDeps): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.use("*", authenticate(deps));
  app.route("/", probeRoutes(deps));
  app.notFound((c) => toResponse(new Refused(404, "Not Found"), { path: c.req.path, log: deps.log }));
  app.onError((error, c) => toResponse(error, { path: c.req.path, log: deps.log }));
  return app;
}
