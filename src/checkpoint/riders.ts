import type { WriteRow } from "../db/queries/checkpoint-writes.ts";

/** Long enough for the checkpoint of a step with one task, short against a commit. */
const waitMillis = 3;

interface Rider {
  rows: readonly WriteRow[];
  resolve(): void;
  reject(error: unknown): void;
}

/** Rows taken aboard; tell it how their statement ended. */
export interface Aboard {
  rows: WriteRow[];
  committed(): void;
  failed(error: unknown): void;
}

/**
 * Writes of finished tasks, waiting a moment for the checkpoint of their step so that both are one statement. Where
 * none comes, because another task of the step still works, they go alone. Callers are answered after the commit.
 */
export class Riders {
  readonly #sendAlone: () => Promise<void>;
  #waiting: Rider[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `sendAlone` takes whoever waits and writes them; it tells them of its failures itself. */
  constructor(sendAlone: () => Promise<void>) {
    this.#sendAlone = sendAlone;
  }

  wait(rows: readonly WriteRow[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rows, resolve, reject });
      this.#timer ??= setTimeout(() => void this.#sendAlone(), waitMillis);
    });
  }

  take(): Aboard {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const riders = this.#waiting.splice(0);
    return {
      rows: riders.flatMap(({ rows }) => rows),
      committed: () => {
        for (const { resolve } of riders) resolve();
      },
      failed: (error) => {
        for (const { reject } of riders) reject(error);
      },
    };
  }
}
