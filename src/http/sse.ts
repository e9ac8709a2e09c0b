import { readEvents } from "../db/queries/events.ts";
import { classify } from "../domain/classify.ts";
import { Transient } from "../domain/errors.ts";
import { isTerminal, type RunStatus } from "../domain/run.ts";
import type { HttpDeps } from "./deps.ts";
import { pulled } from "./pulled.ts";
import type { Wake } from "./wake.ts";

const eventsPerReadMax = 200;
/** What a slow reader can hold of our memory, but for a single larger event. */
const bytesPerReadMax = 512 * 1024;

export interface StreamRequest {
  runId: string;
  /** The last event the client has; -1 for none. */
  afterSeq: number;
  /** Why the client gets all events again, when its own position means nothing to us. */
  reset?: string;
  headers?: Record<string, string>;
  /** Called when the client goes away before the run has ended. */
  onDisconnect?: () => void;
  /** Called once when the stream is over, however it ends. */
  onClose?: () => void;
}

/** A run's events from the database, as server-sent events, until the run has ended. */
export function streamRun(deps: HttpDeps, request: StreamRequest): Response {
  return eventStream(deps, (signal) => frames(deps, request, signal), request);
}

/** Frames as a response that counts as an open stream while it is read. */
export function eventStream(
  { metrics }: Pick<HttpDeps, "metrics">,
  source: (signal: AbortSignal) => AsyncGenerator<string>,
  request: Pick<StreamRequest, "headers" | "onDisconnect" | "onClose">,
): Response {
  const body = pulled(source, {
    onOpen: () => metrics.sseClients.inc(),
    onClose: () => {
      metrics.sseClients.dec();
      request.onClose?.();
    },
    ...(request.onDisconnect === undefined ? {} : { onCancel: request.onDisconnect }),
  });
  const headers = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
  };
  return new Response(body, { headers: { ...headers, ...request.headers } });
}

async function* frames(
  deps: HttpDeps,
  { runId, afterSeq, reset }: StreamRequest,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const wake = deps.wakes.on({ kind: "run", id: runId });
  const beat = firstBeat(deps);
  let seq = afterSeq;
  let behind = false;
  try {
    if (reset !== undefined) yield frame({ event: "reset", data: JSON.stringify({ reason: reset }) });
    while (!signal.aborted) {
      const page = await readPage(deps, runId, seq);
      if (page !== undefined && page.events.length > 0) {
        seq = page.events.at(-1)?.seq ?? seq;
        behind = page.more;
        yield page.events.map(frame).join("");
      } else if (page?.gone && behind) {
        // At the end of what there was, as after a rollback, the client would have missed nothing.
        yield frame({ event: "error", data: goneError });
      }
      if (page?.more) continue;
      if (page?.ended) return;
      // What came while the page was read has woken us already.
      const away = page === undefined;
      for await (const _ of untilNews(deps, { wake, beat, signal, away })) yield heartbeat;
    }
  } finally {
    wake.close();
  }
}

/** A comment of one line. An empty line behind it would make the SDK's client tell its last event's id once more, without data. */
export const heartbeat = ": heartbeat\n";

/** When a stream's next heartbeat is due. */
export interface Beat {
  at: number;
}

export const firstBeat = ({ config }: HttpDeps): Beat => ({
  at: performance.now() + config.heartbeatSeconds * 1000,
});

/** Waits for news, with heartbeats meanwhile. While the database is `away` it returns after a poll's time anyway. */
export async function* untilNews(
  { config }: HttpDeps,
  { wake, beat, signal, away }: { wake: Wake; beat: Beat; signal: AbortSignal; away: boolean },
): AsyncGenerator<"beat"> {
  for (;;) {
    const untilBeat = Math.max(1, beat.at - performance.now());
    const news = await wake.wait(away ? Math.min(untilBeat, config.pollMillis) : untilBeat, signal);
    if (signal.aborted) return;
    if (performance.now() >= beat.at) {
      beat.at = performance.now() + config.heartbeatSeconds * 1000;
      yield "beat";
    }
    if (news || away) return;
  }
}

export interface Page {
  events: { seq: number; event: string; data: string; createdAt: Date }[];
  /** The run has ended, or is gone: behind this page, or what `more` says there is, no further event can come. */
  ended: boolean;
  /** Whether there may be events behind this page already. */
  more: boolean;
  /** The run was deleted: a stream that was behind breaks off, and must not look complete. */
  gone: boolean;
}

const goneError = JSON.stringify({
  error: "NotFound",
  message: "the run was deleted while its stream was read",
});

/** Undefined while the database is away: the client keeps its connection and gets the rest later. */
export async function readPage(
  { db, log }: HttpDeps,
  runId: string,
  afterSeq: number,
): Promise<Page | undefined> {
  try {
    const rows = await readEvents(db, { runId, afterSeq, limit: eventsPerReadMax, bytes: bytesPerReadMax });
    const events = rows.flatMap(({ seq, event, data, createdAt }) =>
      seq === null ? [] : [{ seq, event, data, createdAt }],
    );
    const status = rows[0]?.status as RunStatus | undefined;
    return {
      events,
      ended: status === undefined || isTerminal(status),
      gone: status === undefined,
      more: moreBehind(events),
    };
  } catch (error) {
    if (!(classify(error) instanceof Transient)) throw error;
    log.warn({ error, run_id: runId }, "a stream waits for the database");
    return undefined;
  }
}

/** A page is cut by number or by bytes; one that was not is all there is. */
function moreBehind(events: Page["events"]): boolean {
  const bytes = events.reduce((sum, { data }) => sum + data.length, 0);
  return events.length >= eventsPerReadMax || bytes >= bytesPerReadMax / 2;
}

/** A line break in a name (a node's) would start a field of its own. */
const oneLine = (text: string): string => text.replace(/[\r\n]/g, " ");

export function frame({ seq, event, data }: { seq?: number | string; event: string; data: string }): string {
  const id = seq === undefined ? "" : `id: ${seq}\n`;
  return `event: ${oneLine(event)}\ndata: ${data}\n${id}\n`;
}

/** Where a client that shows `Last-Event-ID` goes on; without one it gets the run from its start. */
export function positionOf(
  header: string | undefined,
  lastSeq: number,
): Pick<StreamRequest, "afterSeq" | "reset"> {
  if (header === undefined || header === "" || header === "-1") return { afterSeq: -1 };
  const seq = /^\d{1,9}$/.test(header) ? Number(header) : Number.NaN;
  if (seq <= lastSeq) return { afterSeq: seq };
  return { afterSeq: -1, reset: `Last-Event-ID ${header.slice(0, 40)} is not an event of this run` };
}
