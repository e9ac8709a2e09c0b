import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Database } from "./pool.ts";

const probeMillis = 2_000;
const reconnectMillis = 500;

interface EarOptions {
  db: Database;
  onError: (error: unknown) => void;
  /** The channels that somebody in this process wants to hear of now. */
  wanted: () => string[];
  /** Called for each notification, and with "missed" when there may have been some that nobody heard. */
  hear: (channel: string, payload: string) => void;
}

/** A link of its own that listens to the wanted channels and to no other: a process is not woken for the news of the rest. */
export class Ear {
  readonly #options: EarOptions;
  readonly #closed = new AbortController();
  #loop: Promise<void> | undefined;
  #heard: readonly string[] = [];
  #wake: () => void = () => undefined;

  constructor(options: EarOptions) {
    this.#options = options;
  }

  open(): void {
    this.#loop = this.#listenForever();
  }

  /** More may be wanted now; what is not any more can wait for the next probe. */
  turn(): void {
    if (this.#deaf().length > 0) this.#wake();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#wake();
    await this.#loop;
  }

  async #listenForever(): Promise<void> {
    const { db, onError } = this.#options;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      let client: pg.Client | undefined;
      try {
        client = await db.dedicated();
        await this.#listen(client);
      } catch (error) {
        if (!signal.aborted) onError(error);
      } finally {
        await client?.end().catch(onError);
      }
      await sleep(reconnectMillis, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until the link fails. A half-open one never errors by itself; each statement is a probe that finds it. */
  async #listen(client: pg.Client): Promise<void> {
    const { wanted, hear } = this.#options;
    client.on("notification", ({ channel, payload }) => hear(channel, payload ?? ""));
    this.#heard = [];
    while (!this.#closed.signal.aborted) {
      const channels = wanted();
      const [gone, added] = [without(this.#heard, channels), without(channels, this.#heard)];
      for (const channel of gone) await answered(client.query(`unlisten ${channel}`));
      for (const channel of added) await answered(client.query(`listen ${channel}`));
      if (gone.length + added.length === 0) await answered(client.query("select 1"));
      this.#heard = channels;
      // Whatever was published while nobody listened is found now.
      for (const channel of added) hear(channel, "missed");
      await this.#rest();
    }
  }

  /** What is wanted and not listened to. */
  #deaf(): string[] {
    return without(this.#options.wanted(), this.#heard);
  }

  /** Until the next probe, or until more is wanted. */
  async #rest(): Promise<void> {
    if (this.#deaf().length > 0 || this.#closed.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, probeMillis);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const without = (some: readonly string[], others: readonly string[]): string[] =>
  some.filter((each) => !others.includes(each));

async function answered(sent: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the LISTEN connection does not answer")), probeMillis);
  });
  await Promise.race([sent, late]).finally(() => clearTimeout(timer));
}
