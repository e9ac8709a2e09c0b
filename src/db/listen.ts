import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { z } from "zod";
import { newId } from "../domain/ids.ts";
import type { ToldEnd } from "../domain/run-end.ts";
import type { Database } from "./pool.ts";

/** What can be woken for: `events` when a run has new ones, `run` when its row has moved. Waking is a hint: every subscriber polls as well. */
export const topics = ["queue", "run", "events", "cancel"] as const;
export type Topic = (typeof topics)[number];

/** NOTIFY serialises commits, so it is sent outside the write, and only once in this time: what comes first goes at
 * once, what comes after it goes together. */
const coalesceMillis = 20;
/** The least time between two. For the end of a run its streams wait: it is not kept for longer than this. */
const urgentMillis = 5;
const urgent: readonly Topic[] = ["run", "cancel"];
/** Four topics of so many uuids stay below the 8,000 bytes that a notification may have. */
const idsPerNotificationMax = 50;
/** Of one topic; with more than these hold, everybody is woken. */
const notificationsMax = 8;
const probeMillis = 2_000;
const reconnectMillis = 500;
const channel = "holdfast";

const notification = z.object({
  from: z.string(),
  news: z.array(z.tuple([z.enum(topics), z.array(z.string())])),
});

type Listener = (id: string, end?: ToldEnd) => void;

export interface Bus {
  /** Wakes subscribers in this process now, and in others at once, after 5 ms or after 20. Only the former hear of `end`, how a run has ended. Never throws. */
  publish(topic: Topic, id: string, end?: ToldEnd): void;
  /** Calls `listener` with the id, or with "*" when anything may have happened. */
  subscribe(topic: Topic, listener: Listener): () => void;
  stop(): Promise<void>;
}

export interface BusOptions {
  db: Database;
  /** False leaves polling alone: a pooler in transaction mode, or a test of the net below. */
  listen: boolean;
  onError: (error: unknown) => void;
}

export function openBus({ db, listen, onError }: BusOptions): Bus {
  const subscribers = new Map<Topic, Set<Listener>>(topics.map((topic) => [topic, new Set<Listener>()]));
  const waiting = new Map<Topic, Set<string>>();
  const stopped = new AbortController();
  const from = newId();
  let sending: Promise<void> | undefined;

  const emit = (topic: Topic, id: string, end?: ToldEnd): void => {
    for (const listener of subscribers.get(topic) ?? []) listener(id, end);
  };
  let hurry: () => void = () => undefined;
  /** Until more may be sent. */
  const rest = async (): Promise<void> => {
    await sleep(urgentMillis, undefined, { signal: stopped.signal }).catch(() => undefined);
    if (stopped.signal.aborted || urgent.some((topic) => waiting.has(topic))) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, coalesceMillis - urgentMillis);
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  };
  const send = async (): Promise<void> => {
    // What is published in this turn of the loop comes along.
    await nextTurn();
    while (waiting.size > 0) {
      const payloads = pages(waiting).map((news) => JSON.stringify({ from, news }));
      waiting.clear();
      const sent = db.query({ text: notify, values: [channel, payloads] }).catch(onError);
      await Promise.all([sent, rest()]);
    }
    sending = undefined;
  };
  // A process has heard its own news before they were sent.
  const hear = (payload: string | undefined): void => deliver(payload, { besides: from, emit });
  const loop = listen ? listenForever({ db, onError, emit, hear, signal: stopped.signal }) : undefined;

  return {
    publish(topic, id, end) {
      emit(topic, id, end);
      if (!listen || stopped.signal.aborted) return;
      const ids = waiting.get(topic) ?? new Set();
      waiting.set(topic, ids.add(id));
      sending ??= send();
      if (urgent.includes(topic)) hurry();
    },
    subscribe(topic, listener) {
      subscribers.get(topic)?.add(listener);
      return () => subscribers.get(topic)?.delete(listener);
    },
    async stop() {
      stopped.abort();
      hurry();
      await Promise.all([loop, sending]);
    },
  };
}

/** A hint need not outlive Postgres, and while it is written to disk no other notification can be committed. */
const notify =
  "select set_config('synchronous_commit', 'off', true), pg_notify($1, payload) from unnest($2::text[]) as payload";

type News = [Topic, string[]][];

/** As many notifications as the longest list of ids needs. */
function pages(waiting: ReadonlyMap<Topic, Set<string>>): News[] {
  const all: News[] = [];
  for (const [topic, ids] of waiting) {
    const list = ids.size > idsPerNotificationMax * notificationsMax ? ["*"] : [...ids];
    for (let n = 0; n * idsPerNotificationMax < list.length; n += 1) {
      const page = list.slice(n * idsPerNotificationMax, (n + 1) * idsPerNotificationMax);
      all[n] = [...(all[n] ?? []), [topic, page]];
    }
  }
  return all;
}

interface ListenDeps {
  db: Database;
  onError: (error: unknown) => void;
  emit: (topic: Topic, id: string) => void;
  hear: (payload: string | undefined) => void;
  signal: AbortSignal;
}

async function listenForever({ db, onError, emit, hear, signal }: ListenDeps): Promise<void> {
  while (!signal.aborted) {
    let client: pg.Client | undefined;
    try {
      client = await db.dedicated();
      client.on("notification", ({ payload }) => hear(payload));
      await client.query(`listen ${channel}`);
      // Whatever was published while nobody listened is found now.
      for (const topic of topics) emit(topic, "*");
      await probe(client, signal);
    } catch (error) {
      if (!signal.aborted) onError(error);
    } finally {
      await client?.end().catch(onError);
    }
    await sleep(reconnectMillis, undefined, { signal }).catch(() => undefined);
  }
}

/** A half-open link never errors by itself; a probe finds it and throws. */
async function probe(client: pg.Client, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(probeMillis, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the LISTEN connection does not answer")), probeMillis);
    });
    await Promise.race([client.query("select 1"), late]).finally(() => clearTimeout(timer));
  }
}

function deliver(
  payload: string | undefined,
  { besides, emit }: { besides: string; emit: (topic: Topic, id: string) => void },
): void {
  for (const [topic, ids] of newsOf(payload, besides)) for (const id of ids) emit(topic, id);
}

function newsOf(payload: string | undefined, besides: string): News {
  try {
    const { from, news } = notification.parse(JSON.parse(payload ?? ""));
    return from === besides ? [] : news;
  } catch {
    // Somebody else's words, or another version's: anything may have happened.
    return topics.map((topic) => [topic, ["*"]]);
  }
}
