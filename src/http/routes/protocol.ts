import { Hono } from "hono";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { guardIfThere } from "../guard.ts";
import { handleCommand } from "../protocol/commands.ts";
import { placeOf } from "../protocol/filter.ts";
import { streamEvents } from "../protocol/sse.ts";
import { inSlot } from "../rate-limit.ts";
import { pathId } from "../schemas/common.ts";
import { commandBody, eventFilter } from "../schemas/protocol.ts";

/** The newer streaming protocol of the SDK: commands, and the events of a thread over all its runs. */
export function protocolRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/threads/:thread_id/commands", (c) => command(deps, c));
  routes.post("/threads/:thread_id/stream/events", (c) => events(deps, c));
  return routes;
}

async function command(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, commandBody, deps.config.bodyBytesMax);
  const caller = {
    threadId: pathId(c, "thread_id"),
    principal: c.get("principal"),
    idempotencyKey: c.req.header("idempotency-key"),
  };
  await guardIfThere(deps, caller.principal, caller.threadId);
  return c.json(await handleCommand(deps, caller, body));
}

async function events(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const filter = await readInput(c, eventFilter, deps.config.bodyBytesMax);
  const thread = { threadId: pathId(c, "thread_id"), tenant: tenantOf(c) };
  const principal = c.get("principal");
  const there = await guardIfThere(deps, principal, thread.threadId);
  // It may be another user's once it is made.
  const mayRead = there ? undefined : () => guardIfThere(deps, principal, thread.threadId);
  const id = c.req.header("last-event-id") ?? filter.since_event_id;
  const place = await placeOf(deps, thread, { id, since: filter.since });
  return inSlot(deps, c, async (onClose) =>
    streamEvents(deps, { thread, filter, mayRead, ...place }, onClose),
  );
}
