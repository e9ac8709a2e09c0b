import type { MiddlewareHandler } from "hono";
import { cors as honoCors } from "hono/cors";
import type { ProgramHttp } from "../engine/project.ts";

/** What the SDK reads from answers. */
const exposeHeaders = [
  "content-location",
  "location",
  "x-pagination-total",
  "x-pagination-next",
  "retry-after",
];

/** Every origin, unless the program says otherwise. What the SDK needs is exposed in any case. */
export function cors(told: ProgramHttp["cors"] = {}): MiddlewareHandler {
  const { allow_origin_regex: regex, allow_origins, expose_headers = [] } = told;
  const matching = regex === undefined ? undefined : new RegExp(regex);
  const every = allow_origins === undefined || allow_origins.includes("*");
  const origin = matching
    ? (asked: string) => (matching.test(asked) ? asked : undefined)
    : every
      ? "*"
      : allow_origins;
  return honoCors({
    origin,
    exposeHeaders: [...new Set([...exposeHeaders, ...expose_headers.map((name) => name.toLowerCase())])],
    ...(told.allow_methods === undefined ? {} : { allowMethods: told.allow_methods }),
    ...(told.allow_headers === undefined ? {} : { allowHeaders: told.allow_headers }),
    ...(told.allow_credentials === undefined ? {} : { credentials: told.allow_credentials }),
    ...(told.max_age === undefined ? {} : { maxAge: told.max_age }),
  });
}
