import type { WriteRow } from "../db/queries/checkpoint-writes.ts";
import type { Step } from "./dump-step.ts";

/** Long enough for the checkpoint of a step with one task, short against a commit. */
const writesWaitMillis = 3;
/** Longer, since nothing of the team's runs meanwhile, only what other runs of the process do. */
const inputWaitMillis = 10;

interface Rider {
  rows: readonly WriteRow[];
  resolve(): void;
  reject(error: unknown): void;
}

/** What was taken aboard; tell it how its statement ended. */
export interface Aboard {
  rows: WriteRow[];
  /** An input's, whose caller is not told. */
  steps: readonly Step[];
  committed(): void;
  failed(error: unknown): void;
}

/**
 * What waits a moment for the checkpoint of its step so that both are one statement: the writes of finished tasks, whose
 * callers are answered after the commit, and the checkpoint of an input, whose caller goes on meanwhile. Where none comes,
 * because another task of the step still works, they go alone.
 */
export class Riders {
  readonly #sendAlone: () => Promise<void>;
  #waiting: Rider[] = [];
  #input: Step | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `sendAlone` takes whoever waits and writes them; it tells them of its failures itself. */
  constructor(sendAlone: () => Promise<void>) {
    this.#sendAlone = sendAlone;
  }

  /** The one that waits. */
  get input(): Step | undefined {
    return this.#input;
  }

  wait(rows: readonly WriteRow[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rows, resolve, reject });
      this.#goAloneAfter(writesWaitMillis);
    });
  }

  holdInput(step: Step): void {
    this.#input = step;
    this.#goAloneAfter(inputWaitMillis);
  }

  take(): Aboard {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const riders = this.#waiting.splice(0);
    const steps = this.#input === undefined ? [] : [this.#input];
    this.#input = undefined;
    return {
      rows: riders.flatMap(({ rows }) => rows),
      steps,
      committed: () => {
        for (const { resolve } of riders) resolve();
      },
      failed: (error) => {
        for (const { reject } of riders) reject(error);
      },
    };
  }

  #goAloneAfter(millis: number): void {
    this.#timer ??= setTimeout(() => void this.#sendAlone(), millis);
  }
}
