import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { newId } from "../domain/ids.ts";
import type { ToldEnd } from "../domain/run-end.ts";
import { Ear } from "./ear.ts";
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
/** So many uuids stay below the 8,000 bytes that a notification may have. */
const idsPerNotificationMax = 180;
/** Of one topic; with more than these hold, everybody is woken. */
const notificationsMax = 3;

/** One for each topic: who does not care is not woken, and eight workers tell each other of hundreds of steps in a second. */
const channelOf = (topic: Topic): string => `holdfast_${topic}`;
const topicOf = (channel: string): Topic | undefined => topics.find((topic) => channelOf(topic) === channel);
const notification = z.object({ from: z.string(), ids: z.array(z.string()) });

type Listener = (id: string, end?: ToldEnd) => void;

export interface Bus {
  /** Wakes subscribers in this process now, and in others at once, after 5 ms or after 20. Only the former hear of `end`, how a run has ended. Never throws. */
  publish(topic: Topic, id: string, end?: ToldEnd): void;
  /** A worker of this process has taken the thread's run: those of others need not look for it, if they have not been told yet. */
  taken(threadId: string): void;
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
      const news = notificationsOf(waiting, from);
      waiting.clear();
      const values = [news.map(({ channel }) => channel), news.map(({ payload }) => payload)];
      const sent = db.query({ ...notify, values }).catch(onError);
      await Promise.all([sent, rest()]);
    }
    sending = undefined;
  };
  const ear = new Ear({
    db,
    onError,
    wanted: () => topics.filter((topic) => subscribers.get(topic)?.size).map(channelOf),
    hear: (channel, payload) => {
      const topic = topicOf(channel);
      // A process has heard its own news before they were sent.
      if (topic !== undefined) for (const id of idsOf(payload, { besides: from })) emit(topic, id);
    },
  });
  if (listen) ear.open();

  const tell = (topic: Topic, id: string): void => {
    if (!listen || stopped.signal.aborted) return;
    const ids = waiting.get(topic) ?? new Set();
    waiting.set(topic, ids.add(id));
    sending ??= send();
    if (urgent.includes(topic)) hurry();
  };

  return {
    publish(topic, id, end) {
      emit(topic, id, end);
      tell(topic, id);
    },
    taken(threadId) {
      const queued = waiting.get("queue");
      if (!queued?.delete(threadId)) return;
      if (queued.size === 0) waiting.delete("queue");
      // Who follows the thread hears of either.
      tell("run", threadId);
    },
    subscribe(topic, listener) {
      subscribers.get(topic)?.add(listener);
      ear.turn();
      return () => subscribers.get(topic)?.delete(listener);
    },
    async stop() {
      stopped.abort();
      hurry();
      await Promise.all([ear.close(), sending]);
    },
  };
}

/** A hint need not outlive Postgres, and while it is written to disk no other notification can be committed. */
const notify = {
  name: "bus.notify",
  text: `
select set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
  from unnest($1::text[], $2::text[]) as news (channel, payload)`,
};

/** As many of each topic as its list of ids needs. */
function notificationsOf(
  waiting: ReadonlyMap<Topic, Set<string>>,
  from: string,
): { channel: string; payload: string }[] {
  return [...waiting].flatMap(([topic, ids]) => {
    const list = ids.size > idsPerNotificationMax * notificationsMax ? ["*"] : [...ids];
    return Array.from({ length: Math.ceil(list.length / idsPerNotificationMax) }, (_, n) => {
      const page = list.slice(n * idsPerNotificationMax, (n + 1) * idsPerNotificationMax);
      return { channel: channelOf(topic), payload: JSON.stringify({ from, ids: page }) };
    });
  });
}

function idsOf(payload: string | undefined, { besides }: { besides: string }): string[] {
  try {
    const { from, ids } = notification.parse(JSON.parse(payload ?? ""));
    return from === besides ? [] : ids;
  } catch {
    // Somebody else's words, or another version's: anything may have happened.
    return ["*"];
  }
}
