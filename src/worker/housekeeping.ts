import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../observe/log.ts";

/** A chore done again and again until it is stopped; one pass at a time, and a failed pass is only logged. */
export class Chore implements AsyncDisposable {
  readonly #stopped = new AbortController();
  readonly #chore: { name: string; everyMillis: number; runOnce: () => Promise<unknown>; log: Log };
  #loop: Promise<void> | undefined;

  constructor(chore: { name: string; everyMillis: number; runOnce: () => Promise<unknown>; log: Log }) {
    this.#chore = chore;
  }

  start(): void {
    this.#loop = this.#forever();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #forever(): Promise<void> {
    const { name, everyMillis, runOnce, log } = this.#chore;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await runOnce().catch((error: unknown) => log.warn({ error, chore: name }, "a chore failed"));
      await sleep(everyMillis, undefined, { signal }).catch(() => undefined);
    }
  }
}
