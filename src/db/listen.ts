import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { z } from "zod";
import type { Database } from "./pool.ts";

/** What can be woken for. Waking is a hint: every subscriber polls as well. */
export const topics = ["queue", "run", "cancel"] as const;
export type Topic = (typeof topics)[number];

/** NOTIFY serialises commits, so it is sent outside the write, at most once per channel in this time. */
const coalesceMillis = 20;
/** Three topics of so many uuids stay below the 8,000 bytes that a notification may have. */
const idsPerNotificationMax = 50;
const probeMillis = 2_000;
const reconnectMillis = 500;
const channel = "holdfast";

const notification = z.array(z.tuple([z.enum(topics), z.array(z.string())]));

type Listener = (id: string) => void;

export interface Bus {
  /** Wakes subscribers in this process now, and in others within about 20 ms. Never throws. */
  publish(topic: Topic, id: string): void;
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
  let timer: NodeJS.Timeout | undefined;
  let sending = Promise.resolve();

  const emit = (topic: Topic, id: string): void => {
    for (const listener of subscribers.get(topic) ?? []) listener(id);
  };
  const send = async (): Promise<void> => {
    timer = undefined;
    const payload = JSON.stringify([...waiting].map(([topic, ids]) => [topic, bounded(ids)]));
    waiting.clear();
    await db.query({ text: "select pg_notify($1, $2)", values: [channel, payload] }).catch(onError);
  };
  const loop = listen ? listenForever({ db, onError, emit, signal: stopped.signal }) : Promise.resolve();

  return {
    publish(topic, id) {
      emit(topic, id);
      if (!listen || stopped.signal.aborted) return;
      const ids = waiting.get(topic) ?? new Set();
      waiting.set(topic, ids.add(id));
      timer ??= setTimeout(() => {
        sending = send();
      }, coalesceMillis);
    },
    subscribe(topic, listener) {
      subscribers.get(topic)?.add(listener);
      return () => subscribers.get(topic)?.delete(listener);
    },
    async stop() {
      stopped.abort();
      clearTimeout(timer);
      await Promise.all([loop, sending]);
    },
  };
}

const bounded = (ids: Set<string>): string[] => (ids.size > idsPerNotificationMax ? ["*"] : [...ids]);

interface ListenDeps {
  db: Database;
  onError: (error: unknown) => void;
  emit: (topic: Topic, id: string) => void;
  signal: AbortSignal;
}

async function listenForever({ db, onError, emit, signal }: ListenDeps): Promise<void> {
  while (!signal.aborted) {
    let client: pg.Client | undefined;
    try {
      client = await db.dedicated();
      client.on("notification", ({ payload }) => deliver(payload, emit));
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

function deliver(payload: string | undefined, emit: (topic: Topic, id: string) => void): void {
  let parsed: [Topic, string[]][];
  try {
    parsed = notification.parse(JSON.parse(payload ?? ""));
  } catch {
    // Somebody else's words, or another version's: anything may have happened.
    parsed = topics.map((topic) => [topic, ["*"]]);
  }
  for (const [topic, ids] of parsed) for (const id of ids) emit(topic, id);
}
