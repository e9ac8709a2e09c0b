import { Fatal, Transient } from "../domain/errors.ts";

export interface Limits {
  /** Seconds that an attempt may go on without anything committed: no step, no write, no effect, no event. */
  stepSecondsMax: number;
  /** Seconds from a run's first claim to its end, waits between attempts included. */
  runSecondsMax: number;
}

interface Options extends Limits {
  /** Milliseconds since the first claim when this attempt began, by the database's clock. */
  ranMillis: number;
  onExpired: (error: Error) => void;
}

/** The two clocks of an attempt. Both run in this process: they measure a duration, and order nothing. */
export class AttemptLimits {
  readonly #options: Options;
  readonly #began = performance.now();
  #progressedAt = this.#began;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#arm();
  }

  progressed(): void {
    this.#progressedAt = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    const { stepSecondsMax, runSecondsMax, ranMillis, onExpired } = this.#options;
    const now = performance.now();
    const runLeft = runSecondsMax * 1_000 - ranMillis - (now - this.#began);
    const stepLeft = stepSecondsMax * 1_000 - (now - this.#progressedAt);
    if (runLeft <= 0)
      onExpired(
        new Fatal(`the run took longer than ${runSecondsMax} s (RUN_SECONDS)`, { code: "run_timeout" }),
      );
    else if (stepLeft <= 0)
      onExpired(new Transient(`nothing was committed for ${stepSecondsMax} s (STEP_SECONDS)`));
    else this.#timer = setTimeout(() => this.#arm(), Math.min(runLeft, stepLeft) + 1);
  }
}
