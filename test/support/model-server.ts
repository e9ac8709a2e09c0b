import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

import {
  bodyOf,
  type ChatRequest,
  chunk,
  completion,
  event,
  type ScriptedToolCall,
  type ScriptedUsage,
  type Spoken,
  tokensOf,
} from "./model-wire.ts";

/** What the server does with one request. Answers are used in order; the last one stays. */
export type ScriptedAnswer =
  | { kind: "text"; text: string; usage?: ScriptedUsage; finish?: string | null; pieceMs?: number }
  | { kind: "json"; value: unknown; usage?: ScriptedUsage }
  | { kind: "tool_calls"; calls: readonly ScriptedToolCall[]; text?: string; usage?: ScriptedUsage }
  | { kind: "status"; status: number; headers?: Record<string, string>; body?: unknown }
  | { kind: "hang" }
  /** Headers and this much of the answer, then nothing more, with the connection open. */
  | { kind: "stall"; text: string; afterPieces: number }
  /** The connection is reset: before the headers, or after some pieces. */
  | { kind: "cut"; text?: string; afterPieces?: number }
  /** The body ends in good order in the middle of the answer. */
  | { kind: "early_end"; text: string; afterPieces: number }
  /** One byte at a time. */
  | { kind: "trickle"; text: string; byteMs: number }
  | { kind: "truncated_json"; text: string }
  | { kind: "empty_choices" }
  /** A body that is not the protocol's. */
  | { kind: "garbage" }
  /** An answer of this size, written piece by piece for as long as somebody reads. */
  | { kind: "huge"; bytes: number }
  | { kind: "error_event"; text: string; message: string };

export type Script =
  | readonly ScriptedAnswer[]
  | ((request: RecordedRequest) => ScriptedAnswer | Promise<ScriptedAnswer>);

export interface RecordedRequest {
  index: number;
  headers: IncomingMessage["headers"];
  body: ChatRequest;
  /** Of the last message. */
  text: string;
  /** What it cost, once it was answered whole. */
  tokens: number;
  /** Of a huge answer. */
  bytesSent: number;
  /** Settles when the client has gone or has the whole answer. */
  closed: Promise<void>;
}

export interface ModelServer {
  /** With the version: the `baseURL` of a client. */
  url: string;
  requests: RecordedRequest[];
  /** Waits for the nth request, counted from 1. */
  requestArrived(nth: number): Promise<RecordedRequest>;
  /** Of the answers that were sent whole. */
  billedTokens(): number;
  /** Replaces what is left of the script. */
  setScript(script: Script): void;
  stop(): Promise<void>;
}

const bodyBytesMax = 10_000_000;
const requestsMaxDefault = 10_000;
const arrivalWaitMs = 20_000;

export const say = (text: string): ScriptedAnswer => ({ kind: "text", text });

export const reply = (value: unknown): ScriptedAnswer => ({ kind: "json", value });

/** An OpenAI-compatible server that says what the test wrote down, in that order. */
export async function startModelServer({
  script,
  requestsMax = requestsMaxDefault,
}: {
  script: Script;
  requestsMax?: number;
}): Promise<ModelServer> {
  let current = script;
  let used = 0;
  const requests: RecordedRequest[] = [];
  const arrivals = new Map<number, ((request: RecordedRequest) => void)[]>();
  const stopping = new AbortController();
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "POST" || !request.url?.endsWith("/chat/completions")) {
      response.writeHead(404).end();
      return;
    }
    const recorded = await record(request, response, requests.length);
    if (requests.length >= requestsMax) throw new Error(`more than ${requestsMax} requests`);
    recorded.index = requests.length;
    requests.push(recorded);
    const nth = requests.length;
    for (const tell of arrivals.get(nth) ?? []) tell(recorded);
    arrivals.delete(nth);
    await answer(await choose(recorded), recorded, response, stopping.signal);
  }
  async function choose(request: RecordedRequest): Promise<ScriptedAnswer> {
    if (typeof current === "function") return current(request);
    const chosen = current[Math.min(used++, current.length - 1)];
    return chosen ?? { kind: "status", status: 500, body: { error: { message: "the script is empty" } } };
  }
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    requestArrived: (nth) => arrived(requests, arrivals, nth),
    billedTokens: () => requests.reduce((sum, { tokens }) => sum + tokens, 0),
    setScript(next) {
      current = next;
      used = 0;
    },
    async stop() {
      stopping.abort();
      await close(server);
    },
  };
}

async function arrived(
  requests: readonly RecordedRequest[],
  arrivals: Map<number, ((request: RecordedRequest) => void)[]>,
  nth: number,
): Promise<RecordedRequest> {
  const there = requests[nth - 1];
  if (there !== undefined) return there;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        reject(
          new Error(`request ${nth} did not arrive within ${arrivalWaitMs} ms (${requests.length} did)`),
        ),
      arrivalWaitMs,
    );
    const tell = (request: RecordedRequest) => {
      clearTimeout(timer);
      resolve(request);
    };
    arrivals.set(nth, [...(arrivals.get(nth) ?? []), tell]);
  });
}

async function record(
  request: IncomingMessage,
  response: ServerResponse,
  index: number,
): Promise<RecordedRequest> {
  const closed = new Promise<void>((resolve) => response.once("close", resolve));
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > bodyBytesMax) throw new Error("request body too large");
    parts.push(part);
  }
  const body = JSON.parse(Buffer.concat(parts).toString("utf8")) as ChatRequest;
  const last = body.messages?.at(-1)?.content;
  return {
    index,
    headers: request.headers,
    body,
    tokens: 0,
    bytesSent: 0,
    text: typeof last === "string" ? last : JSON.stringify(last ?? ""),
    closed,
  };
}

async function answer(
  scripted: ScriptedAnswer,
  request: RecordedRequest,
  response: ServerResponse,
  stopping: AbortSignal,
): Promise<void> {
  switch (scripted.kind) {
    case "text":
      return whole(response, request, scripted);
    case "json":
      return whole(response, request, { ...scripted, text: JSON.stringify(scripted.value) });
    case "tool_calls":
      return whole(response, request, { finish: "tool_calls", text: "", ...scripted });
    case "status":
      response.writeHead(scripted.status, { "content-type": "application/json", ...scripted.headers });
      response.end(
        JSON.stringify(
          scripted.body ?? { error: { message: `scripted ${scripted.status}`, type: "scripted" } },
        ),
      );
      return;
    case "hang":
      return untilGone(response, stopping);
    case "stall":
      partly(response, request, scripted);
      return untilGone(response, stopping);
    case "cut":
      if (scripted.text !== undefined)
        partly(response, request, { afterPieces: 1, ...scripted, text: scripted.text });
      // The bytes must reach the client before the reset overtakes them.
      if (scripted.text !== undefined) await wait(20);
      response.socket?.resetAndDestroy();
      return;
    case "early_end":
      partly(response, request, scripted);
      response.end();
      return;
    case "trickle":
      return trickle(response, request, scripted, stopping);
    case "truncated_json": {
      const [head = "", cut = ""] = bodyOf(request, { text: scripted.text });
      response.writeHead(200, contentType(request));
      response.end(request.body.stream ? `${head}${cut.trimEnd().slice(0, -9)}\n\n` : head.slice(0, -9));
      return;
    }
    case "empty_choices":
      response.writeHead(200, contentType(request));
      response.end(
        request.body.stream
          ? `${event(chunk(request, []))}data: [DONE]\n\n`
          : JSON.stringify(completion(request, [])),
      );
      return;
    case "garbage":
      response.writeHead(200, contentType(request));
      response.end(request.body.stream ? "data: <html>\n\n" : "<html>no model here</html>");
      return;
    case "huge":
      return huge(response, request, scripted.bytes);
    case "error_event":
      partly(response, request, { text: scripted.text, afterPieces: 1 });
      response.end(event({ error: { message: scripted.message, type: "server_error" } }));
      return;
  }
}

async function whole(response: ServerResponse, request: RecordedRequest, spoken: Spoken): Promise<void> {
  response.writeHead(200, contentType(request));
  for (const piece of bodyOf(request, spoken)) {
    if (response.destroyed) return;
    response.write(piece);
    if (spoken.pieceMs !== undefined) await wait(spoken.pieceMs);
  }
  request.tokens = tokensOf(request, spoken);
  response.end();
}

function partly(
  response: ServerResponse,
  request: RecordedRequest,
  spoken: Spoken & { afterPieces: number },
): void {
  response.writeHead(200, contentType(request));
  const pieces = bodyOf(request, spoken);
  const sent = request.body.stream ? pieces.slice(0, spoken.afterPieces + 1) : [pieces.join("").slice(0, 20)];
  for (const piece of sent) response.write(piece);
}

async function trickle(
  response: ServerResponse,
  request: RecordedRequest,
  { text, byteMs }: { text: string; byteMs: number },
  stopping: AbortSignal,
): Promise<void> {
  response.writeHead(200, contentType(request));
  for (const byte of Buffer.from(bodyOf(request, { text }).join(""))) {
    if (response.destroyed || stopping.aborted) return;
    response.write(Buffer.from([byte]));
    await wait(byteMs);
  }
  response.end();
}

/** Counts what could be written: a client that refuses it is gone long before the end. */
async function huge(response: ServerResponse, request: RecordedRequest, bytes: number): Promise<void> {
  response.writeHead(200, contentType(request));
  response.on("error", () => undefined);
  const text = "x".repeat(65_536);
  const part = request.body.stream
    ? event(chunk(request, [{ index: 0, delta: { content: text }, finish_reason: null }]))
    : text;
  if (!request.body.stream) response.write('{"choices":[{"message":{"content":"');
  for (; request.bytesSent < bytes && !response.destroyed; request.bytesSent += part.length) {
    if (!response.write(part)) await Promise.race([once(response, "drain"), request.closed]);
  }
  response.end();
}

async function untilGone(response: ServerResponse, stopping: AbortSignal): Promise<void> {
  if (response.destroyed || stopping.aborted) return;
  await Promise.race([once(response, "close"), once(stopping, "abort")]);
}

const contentType = (request: RecordedRequest) => ({
  "content-type": request.body.stream ? "text/event-stream" : "application/json",
});

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
