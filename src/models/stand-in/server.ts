// An offline stand-in for a language model: an OpenAI-compatible server that reads its prompt by rules, so that the
// demo and the tests need no key and no network. It is not a language model and says so. Read answer.ts next.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import secureJson from "secure-json-parse";
import { answerTo } from "./answer.ts";
import { ControlRequest, Fault, statusOf } from "./faults.ts";
import { ChatRequest, readPrompt } from "./prompt.ts";
import { type Completion, errorBody, streamedAnswer, wholeAnswer } from "./wire.ts";

export interface StandInOptions {
  /** 0 takes a free one. */
  port?: number;
  log?: (entry: Readonly<Record<string, unknown>>) => void;
}

export interface StandIn {
  /** The `baseURL` of a client, with the version. */
  url: string;
  /** GET counts the requests, POST plans faults. */
  controlUrl: string;
  apiKey: string;
  stop(): Promise<void>;
}

export const standInModel = "stand-in";
export const standInApiKey = "stand-in";

const bodyBytesMax = 5_000_000;
const connectionsMax = 500;
const hangMsMax = 600_000;
const trickleCharacterMs = 50;
const cutAfterChunks = 4;

interface Context {
  requests: number;
  answered: number;
  faults: number;
  next: Fault[];
  log: NonNullable<StandInOptions["log"]>;
  stopping: AbortSignal;
}

/** Starts the stand-in on this machine only. */
export async function startStandIn(options: StandInOptions = {}): Promise<StandIn> {
  const stopping = new AbortController();
  const context: Context = {
    requests: 0,
    answered: 0,
    faults: 0,
    next: [],
    log: options.log ?? (() => undefined),
    stopping: stopping.signal,
  };
  const server = createServer((request, response) => {
    route(request, response, context).catch((error: unknown) => {
      context.log({
        event: "stand_in_error",
        message: error instanceof Error ? error.message : String(error),
      });
      if (response.headersSent) response.destroy();
      else if (error instanceof BodyTooLong)
        send(response, 413, errorBody(error.message, "invalid_request_error"));
      else send(response, 500, errorBody("the stand-in failed", "server_error"));
    });
  });
  server.maxConnections = connectionsMax;
  const origin = await listen(server, options.port ?? 0);
  return {
    url: `${origin}/v1`,
    controlUrl: `${origin}/control`,
    apiKey: standInApiKey,
    async stop() {
      stopping.abort();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, port: number): Promise<string> {
  // Of this process alone, also where several share a port for HTTP.
  server.listen({ port, host: "127.0.0.1", exclusive: true });
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the stand-in has no port");
  return `http://127.0.0.1:${address.port}`;
}

async function route(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  const path = new URL(request.url ?? "/", "http://stand-in").pathname;
  const door = `${request.method} ${path}`;
  if (door === "GET /control") return send(response, 200, JSON.stringify(report(context)));
  if (door === "POST /control") return control(request, response, context);
  if (request.headers.authorization !== `Bearer ${standInApiKey}`) {
    return send(
      response,
      401,
      errorBody(`the key of the stand-in is "${standInApiKey}"`, "invalid_request_error"),
    );
  }
  if (door === "GET /v1/models") return send(response, 200, modelList());
  if (door === "POST /v1/chat/completions") return complete(request, response, context);
  send(response, 404, errorBody(`the stand-in does not serve ${door}`, "invalid_request_error"));
}

const report = ({ requests, answered, faults, next }: Context) => ({ requests, answered, faults, next });

const modelList = (): string =>
  JSON.stringify({
    object: "list",
    data: [{ id: standInModel, object: "model", created: 0, owned_by: "holdfast" }],
  });

async function control(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  const parsed = ControlRequest.safeParse(secureJson.safeParse(await readBody(request)));
  if (!parsed.success) return send(response, 400, errorBody(parsed.error.message, "invalid_request_error"));
  context.next = [...parsed.data.next];
  send(response, 200, JSON.stringify(report(context)));
}

async function complete(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  context.requests++;
  const id = `chatcmpl-stand-in-${context.requests}`;
  const parsed = ChatRequest.safeParse(secureJson.safeParse(await readBody(request)));
  if (!parsed.success) return send(response, 400, errorBody(parsed.error.message, "invalid_request_error"));
  const fault = faultFor(request, context);
  context.log({ event: "stand_in_request", id, stream: parsed.data.stream === true, fault: fault ?? null });
  const status = fault === undefined ? undefined : statusOf(fault);
  if (fault !== undefined) context.faults++;
  if (status !== undefined)
    return send(response, status.status, errorBody(`planned ${fault}`, "planned_fault"), status.headers);
  if (fault === "hang") return hang(response, context);
  const text = answerTo(readPrompt(parsed.data));
  const completion: Completion = { id, created: Math.floor(Date.now() / 1000), request: parsed.data, text };
  await write(response, completion, fault, context);
  if (fault === undefined) context.answered++;
}

function faultFor(request: IncomingMessage, context: Context): Fault | undefined {
  const header = Fault.safeParse(request.headers["x-stand-in-fault"]);
  return header.success ? header.data : context.next.shift();
}

async function write(
  response: ServerResponse,
  completion: Completion,
  fault: Fault | undefined,
  { stopping }: Context,
): Promise<void> {
  const streams = completion.request.stream === true;
  const type = streams ? "text/event-stream; charset=utf-8" : "application/json";
  const pieces = streams ? [...streamedAnswer(completion)] : [wholeAnswer(completion)];
  response.writeHead(200, { "content-type": type, "cache-control": "no-cache" });
  response.flushHeaders();
  if (fault === "cut") return cut(response, pieces);
  const sent =
    fault === "malformed"
      ? malformed(pieces, streams)
      : fault === "trickle"
        ? pieces.flatMap((p) => [...p])
        : pieces;
  for (const piece of sent) {
    if (response.destroyed || stopping.aborted) return;
    if (!response.write(piece)) await Promise.race([once(response, "drain"), once(response, "close")]);
    if (fault === "trickle") await wait(trickleCharacterMs);
  }
  response.end();
}

/** A connection that ends in the middle of the answer, without the end that its framing promised. */
function cut(response: ServerResponse, pieces: readonly string[]): void {
  const part = pieces.length > 1 ? pieces.slice(0, cutAfterChunks).join("") : (pieces[0] ?? "").slice(0, 40);
  response.write(part, () => response.socket?.destroySoon());
}

/** The second event, or the only body, loses its end. */
const malformed = (pieces: readonly string[], streams: boolean): string[] =>
  streams
    ? [pieces[0] ?? "", `${(pieces[1] ?? "").trimEnd().slice(0, -9)}\n\n`, ...pieces.slice(2)]
    : [(pieces[0] ?? "").slice(0, -9)];

async function hang(response: ServerResponse, { stopping }: Context): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const signal = AbortSignal.any([gone.signal, stopping]);
  await wait(hangMsMax, undefined, { signal }).catch(() => undefined);
  response.destroy();
}

class BodyTooLong extends Error {}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > bodyBytesMax) throw new BodyTooLong(`the request is longer than ${bodyBytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(body);
}
