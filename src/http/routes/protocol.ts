import { upgradeWebSocket } from "@hono/node-server";
import { Hono } from "hono";
import type { WebSocket } from "ws";
import { readInput } from "../body.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { Refused } from "../errors.ts";
import { guardIfThere } from "../guard.ts";
import { handleCommand } from "../protocol/commands.ts";
import { placeOf } from "../protocol/filter.ts";
import { ThreadSocket } from "../protocol/socket.ts";
import { streamEvents } from "../protocol/sse.ts";
import { callerOf, inSlot } from "../rate-limit.ts";
import { pathId } from "../schemas/common.ts";
import { commandBody, eventFilter } from "../schemas/protocol.ts";

const tryAgainLater = 1013;

/** The newer streaming protocol of the SDK: commands, and the events of a thread over all its runs. */
export function protocolRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.post("/threads/:thread_id/commands", (c) => command(deps, c));
  routes.post("/threads/:thread_id/stream/events", (c) => events(deps, c));
  routes.get("/threads/:thread_id/stream/events", (c) => openSocket(deps, c));
  return routes;
}

async function command(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const body = await readInput(c, commandBody, deps.config.bodyBytesMax);
  const caller = {
    threadId: pathId(c, "thread_id"),
    threadKey: c.get("keyed")?.key,
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

/** The same over one connection: commands in, their answers and the events of subscriptions out. */
async function openSocket(deps: HttpDeps, c: RequestContext): Promise<Response> {
  const caller = {
    threadId: pathId(c, "thread_id"),
    threadKey: c.get("keyed")?.key,
    principal: c.get("principal"),
    idempotencyKey: undefined,
  };
  await guardIfThere(deps, caller.principal, caller.threadId);
  if (c.req.header("upgrade")?.toLowerCase() !== "websocket")
    throw new Refused(426, "Upgrade Required: this is a WebSocket; over HTTP send POST", {
      headers: { upgrade: "websocket" },
    });
  let socket: ThreadSocket | undefined;
  return upgradeWebSocket(c, {
    onOpen: (_event, { raw }) => {
      if (!isSocket(raw)) return;
      try {
        // Taken only now: a handshake that fails would never give it back.
        socket = new ThreadSocket(deps, { caller, socket: raw, onClose: deps.slots.take(callerOf(c)) });
      } catch (error) {
        raw.close(tryAgainLater, (error as Error).message);
      }
    },
    onMessage: ({ data }) => {
      if (typeof data === "string") socket?.receive(data);
    },
    onClose: () => socket?.close(),
    onError: () => socket?.close(),
  });
}

/** A program that mounts the server may bring a copy of the package of its own. */
const isSocket = (raw: unknown): raw is WebSocket =>
  typeof (raw as WebSocket | undefined)?.terminate === "function";
