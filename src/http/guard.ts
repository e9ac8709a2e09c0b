// What each route is to a program's own auth: a route that reads or writes a thread, a run, an assistant, a cron or an item
// asks its handlers here. Without such an auth, or with one of our own API keys, everything in the tenant may be seen.
import type { MiddlewareHandler } from "hono";
import type { ThreadHead } from "../db/queries/rows.ts";
import { getThreadHead } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import { type AccessFilter, passes } from "../domain/access.ts";
import { NotFound } from "../domain/errors.ts";
import type { HttpDeps, HttpEnv, Principal, RequestContext } from "./deps.ts";
import { Refused } from "./errors.ts";
import type { AuthEvent, ThreadAction } from "./program-auth.ts";

/**
 * Asks whether the caller may do this. The filter is for searches, and for the metadata of what is found; null lets everything
 * pass. Handlers may change `value`. Throws Refused.
 */
export async function ask(
  { access }: Principal,
  event: AuthEvent,
  value: object,
): Promise<AccessFilter | null> {
  return access === undefined ? null : access.ask(event, value);
}

interface Wanted {
  threadId: string;
  action?: ThreadAction;
  /** What else the handler is told, and may change, beside the thread's id. */
  value?: object;
}

/**
 * The thread of that id, as far as the caller may do that with it: the one call that a route of a thread needs.
 * Throws NotFound, also for one that is hidden; Refused where a handler says no.
 */
export async function guardThread(
  { db }: Pick<HttpDeps, "db">,
  principal: Principal,
  { threadId, action = "read", value = {} }: Wanted,
): Promise<ThreadHead> {
  const filter = await ask(principal, `threads:${action}`, Object.assign(value, { thread_id: threadId }));
  const thread = one(await getThreadHead(db, { threadId, tenant: principal.tenant }));
  if (thread !== undefined && passes(thread.metadata, filter)) return thread;
  throw new NotFound(`Thread with ID ${threadId} not found`);
}

/** The same where the thread may not be there yet: false then, and it has to be asked again once it is. */
export async function guardIfThere(
  { db }: Pick<HttpDeps, "db">,
  principal: Principal,
  threadId: string,
): Promise<boolean> {
  const filter = await ask(principal, "threads:read", { thread_id: threadId });
  const thread = one(await getThreadHead(db, { threadId, tenant: principal.tenant }));
  if (thread === undefined || passes(thread.metadata, filter)) return thread !== undefined;
  throw new NotFound(`Thread with ID ${threadId} not found`);
}

interface Part {
  threadId: string;
  action: ThreadAction;
  value?: object;
  /** Thrown when it is hidden. */
  missing: NotFound;
}

/** The same for what belongs to a thread, as its runs and its questions do. */
export async function guardPart(
  deps: Pick<HttpDeps, "db">,
  principal: Principal,
  { missing, ...wanted }: Part,
): Promise<void> {
  if (principal.access === undefined) return;
  await guardThread(deps, principal, wanted).catch((error: unknown) => {
    throw error instanceof NotFound ? missing : error;
  });
}

/**
 * What concerns every user of the server is for those who have one of our own API keys.
 * Throws Refused 403 for a user of the program.
 */
export function operatorOnly(c: RequestContext): void {
  if (c.get("principal").access === undefined) return;
  throw new Refused(403, "Forbidden: this route needs an API key of the server (holdfast keys create)");
}

/** What tells nothing about anybody. */
const unguarded = new Set(["/ok", "/info", "/livez", "/readyz", "/openapi.json", "/docs"]);

/** The net below the routes: one that has asked no handler gives a user of the program nothing. */
export function refuseUnasked(): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    await next();
    const { access } = c.get("principal");
    if (access === undefined || access.asked || c.res.status >= 400) return;
    if (unguarded.has(c.req.path) || isUi(c.req.path)) return;
    await c.res.body?.cancel();
    c.res = undefined;
    c.res = new Response("Forbidden: this route asks no auth handler", { status: 403 });
  };
}

export const isUi = (path: string): boolean => path === "/ui" || path.startsWith("/ui/");
