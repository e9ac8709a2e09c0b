import { randomUUID } from "node:crypto";
import type pg from "pg";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Bus, openBus, type Topic, topics } from "../../src/db/listen.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { createTestDatabase } from "../support/database.ts";

const channelOf = (topic: Topic): string => `holdfast_${topic}`;
const payloadBytesMax = 8_000;
const keptMillisMax = 18;
const triesMax = 200;
const saidMillisMax = 10_000;

async function open(): Promise<{ db: Database; bus: Bus; errors: unknown[]; heard: Ear }> {
  const database = await createTestDatabase();
  const db = openDatabase({ url: database.url, connectionsMax: 4 });
  const errors: unknown[] = [];
  const bus = openBus({ db, listen: true, onError: (error) => errors.push(error) });
  const heard = new Ear(bus);
  onTestFinished(async () => {
    await bus.stop();
    await db.close();
    await database.drop();
  });
  // A bus wakes who subscribes as soon as it listens.
  await heard.all(topics.map((topic) => `${topic} *`));
  return { db, bus, errors, heard };
}

/** What a bus woke its subscribers for. */
class Ear {
  #words: string[] = [];
  #news: () => void = () => undefined;

  constructor(bus: Bus) {
    for (const topic of topics) {
      bus.subscribe(topic, (id) => {
        this.#words.push(`${topic} ${id}`);
        this.#news();
      });
    }
  }

  /** Resolves when all of these were heard, and forgets them. */
  async all(words: string[]): Promise<void> {
    while (!words.every((word) => this.#words.includes(word))) {
      await new Promise<void>((resolve) => {
        this.#news = resolve;
      });
    }
    this.#words = [];
  }
}

const notify = (db: Database, topic: Topic, payload: string) =>
  db.query({ text: "select pg_notify($1, $2)", values: [channelOf(topic), payload] });
const told = (...ids: string[]): string => JSON.stringify({ from: "another", ids });

describe("the bus", () => {
  it.each([
    "hello",
    "",
    "null",
    "{}",
    "[1]",
    '["id"]',
    '{"from":"another"}',
    '{"from":"another","ids":[null]}',
  ])("wakes who subscribes to a topic when a notification of it is not its own: %s", async (payload) => {
    const { db, heard, errors } = await open();
    await notify(db, "run", payload);
    await heard.all(["run *"]);
    await notify(db, "run", told("still listening"));
    await heard.all(["run still listening"]);
    expect(errors).toEqual([]);
  });

  it.each([1, 180, 181, 540, 541])(
    "tells %i ids of each topic in notifications that Postgres takes",
    async (count) => {
      const { db, bus, errors } = await open();
      const client = await db.dedicated();
      onTestFinished(() => client.end());
      const pages = topics.length * (count > 540 ? 1 : Math.ceil(count / 180));
      const heard = Object.fromEntries(topics.map((topic): [string, string[]] => [channelOf(topic), []]));
      const payloads: string[] = [];
      const all = new Promise<void>((resolve) => {
        client.on("notification", ({ channel, payload = "" }) => {
          heard[channel]?.push(...JSON.parse(payload).ids);
          if (payloads.push(payload) === pages) resolve();
        });
      });
      for (const topic of topics) await client.query(`listen ${channelOf(topic)}`);
      const ids = Object.fromEntries(
        topics.map((topic) => [topic, Array.from({ length: count }, randomUUID)]),
      );
      for (const topic of topics) for (const id of ids[topic] ?? []) bus.publish(topic, id);
      await all;
      for (const payload of payloads) expect(Buffer.byteLength(payload)).toBeLessThan(payloadBytesMax);
      expect(heard).toEqual(
        Object.fromEntries(topics.map((topic) => [channelOf(topic), count > 540 ? ["*"] : ids[topic]])),
      );
      expect(errors).toEqual([]);
    },
  );

  it("rings at once in its own process, and not again when its own notification comes back", async () => {
    const { db, bus, heard } = await open();
    const words: string[] = [];
    bus.subscribe("run", (id) => words.push(id));
    bus.publish("run", "mine");
    expect(words).toEqual(["mine"]);
    await heard.all(["run mine"]);
    await notify(db, "run", told("yours"));
    bus.publish("run", "again");
    const another = openBus({ db, listen: true, onError: () => {} });
    onTestFinished(() => another.stop());
    const far = new Ear(another);
    await far.all(["run *"]);
    bus.publish("run", "last");
    await far.all(["run last"]);
    await notify(db, "run", told("behind them"));
    await heard.all(["run behind them"]);
    expect(words.filter((id) => id !== "*").sort()).toEqual([
      "again",
      "behind them",
      "last",
      "mine",
      "yours",
    ]);
  });

  it("listens to the topics that somebody subscribes to, and to no others", async () => {
    const { db } = await open();
    const said: string[] = [];
    const dedicated = async (): Promise<pg.Client> => {
      const client = await db.dedicated();
      const query = client.query.bind(client);
      vi.spyOn(client, "query").mockImplementation((text: string) => {
        if (text.includes("listen")) said.push(text);
        return query(text);
      });
      return client;
    };
    const bus = openBus({ db: { ...db, dedicated }, listen: true, onError: () => {} });
    onTestFinished(() => bus.stop());
    const stopHearing = bus.subscribe("queue", () => undefined);
    await vi.waitFor(() => expect(said).toEqual(["listen holdfast_queue"]), saidMillisMax);
    const words: string[] = [];
    bus.subscribe("cancel", (id) => words.push(id));
    // What was published before it listened is looked for.
    await vi.waitFor(() => expect(words).toEqual(["*"]), saidMillisMax);
    await notify(db, "cancel", told("yours"));
    await vi.waitFor(() => expect(words).toEqual(["*", "yours"]), saidMillisMax);
    stopHearing();
    await vi.waitFor(() => expect(said.at(-1)).toBe("unlisten holdfast_queue"), saidMillisMax);
    expect(said).toEqual(["listen holdfast_queue", "listen holdfast_cancel", "unlisten holdfast_queue"]);
  });

  it("does not call the workers of others to a run that one of its own has taken, but tells who follows the thread", async () => {
    const { db, bus } = await open();
    const another = openBus({ db, listen: true, onError: () => {} });
    onTestFinished(() => another.stop());
    const words: string[] = [];
    for (const topic of topics) another.subscribe(topic, (id) => words.push(`${topic} ${id}`));
    const far = new Ear(another);
    await far.all(topics.map((topic) => `${topic} *`));
    bus.publish("queue", "taken");
    bus.publish("queue", "left");
    bus.taken("taken");
    bus.taken("never published");
    await far.all(["run taken", "queue left"]);
    expect(words.filter((word) => !word.endsWith("*")).sort()).toEqual(["queue left", "run taken"]);
  });

  it("sends the first notification without delay, and what follows within 20 ms in one", async () => {
    const { db, bus } = await open();
    const { query } = db;
    let sent = 0;
    let first: () => void = () => {};
    const leading = new Promise<void>((resolve) => {
      first = resolve;
    });
    db.query = (statement) => {
      if (statement.text.includes("pg_notify")) sent += 1;
      first();
      return query(statement);
    };
    const began = performance.now();
    bus.publish("events", "first");
    await leading;
    expect(sent).toBe(1);
    for (let n = 0; n < 20; n += 1) {
      bus.publish("events", `later ${n}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await bus.stop();
    db.query = query;
    // What waited is not dropped by stopping; a slow machine spreads the twenty over more than one window.
    expect(sent).toBeGreaterThan(1);
    expect(sent).toBeLessThanOrEqual(2 + Math.ceil((performance.now() - began) / 20));
  });

  it("keeps the end of a run for less than those 20 ms", async () => {
    const { db, bus } = await open();
    const sentAt: number[] = [];
    let sent: () => void = () => undefined;
    db.query = async () => {
      sentAt.push(performance.now());
      sent();
      return { rows: [], rowCount: 0 };
    };
    const nextSent = async (topic: Topic, id: string): Promise<number> => {
      const told = new Promise<void>((resolve) => {
        sent = resolve;
      });
      bus.publish(topic, id);
      await told;
      return sentAt.at(-1) ?? 0;
    };
    // A slow machine may be late, again and again, but not always: a timer is never early.
    let least = Number.POSITIVE_INFINITY;
    for (let n = 0; n < triesMax && least >= keptMillisMax; n += 1) {
      const before = await nextSent("events", `${n}`);
      least = Math.min(least, (await nextSent("run", `${n}`)) - before);
    }
    expect(least).toBeLessThan(keptMillisMax);
    // Nor do they come one by one, however many end.
    expect(least).toBeGreaterThan(4);
  });
});
