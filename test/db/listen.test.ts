import { randomUUID } from "node:crypto";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Bus, openBus, topics } from "../../src/db/listen.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { createTestDatabase } from "../support/database.ts";

const channel = "holdfast";
const payloadBytesMax = 8_000;

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
  // Every bus wakes everybody as soon as it listens.
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

const notify = (db: Database, payload: string) =>
  db.query({ text: "select pg_notify($1, $2)", values: [channel, payload] });

describe("the bus", () => {
  it.each([
    "hello",
    "",
    "null",
    "{}",
    "[1]",
    '[["run"]]',
    '[["run","id"]]',
    '[["another topic",["id"]]]',
    '[["run",[null]]]',
  ])("wakes everybody when a notification is not its own: %s", async (payload) => {
    const { db, heard, errors } = await open();
    await notify(db, payload);
    await heard.all(topics.map((topic) => `${topic} *`));
    await notify(db, JSON.stringify([["run", ["still listening"]]]));
    await heard.all(["run still listening"]);
    expect(errors).toEqual([]);
  });

  it.each([1, 50, 51, 100, 500])(
    "keeps a notification of %i ids for each topic below what Postgres takes",
    async (count) => {
      const { db, bus, errors } = await open();
      const client = await db.dedicated();
      onTestFinished(() => client.end());
      const told = new Promise<string>((resolve) => {
        client.on("notification", ({ payload }) => resolve(payload ?? ""));
      });
      await client.query(`listen ${channel}`);
      const ids = Object.fromEntries(
        topics.map((topic) => [topic, Array.from({ length: count }, randomUUID)]),
      );
      for (const topic of topics) for (const id of ids[topic] ?? []) bus.publish(topic, id);
      const payload = await told;
      expect(Buffer.byteLength(payload)).toBeLessThan(payloadBytesMax);
      expect(new Map(JSON.parse(payload))).toEqual(
        new Map(topics.map((topic) => [topic, count > 50 ? ["*"] : ids[topic]])),
      );
      expect(errors).toEqual([]);
    },
  );
});
