import { ModelError } from "./model-error.ts";

export interface AnswerLimits {
  /** Of an answer that comes in one piece, from the request to its end. */
  timeoutMs: number;
  /** Of a streamed answer: until its first token, between two tokens, and of the whole. */
  firstTokenMs: number;
  betweenTokensMs: number;
  wholeAnswerMs: number;
  answerCharactersMax: number;
  /** Of the connection only, and only before the first token: after it, a second try would be paid twice. */
  quickTriesMax: number;
  quickRetryWaitMs: number;
}

export const defaultAnswerLimits: Readonly<AnswerLimits> = {
  timeoutMs: 30_000,
  firstTokenMs: 30_000,
  betweenTokensMs: 15_000,
  wholeAnswerMs: 300_000,
  answerCharactersMax: 1_000_000,
  quickTriesMax: 3,
  quickRetryWaitMs: 150,
};

/** The default of one limit, or what was given. A timeout that was set holds for the wait for the first token, too. */
export function answerLimits(given: { [Limit in keyof AnswerLimits]?: number | undefined }): AnswerLimits {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const { timeoutMs } = given;
  const first = timeoutMs === undefined ? {} : { firstTokenMs: timeoutMs };
  return { ...defaultAnswerLimits, ...first, ...set };
}

export interface AnswerWatch {
  /** Aborts with the reason when a limit is passed, or when the caller gives up. */
  readonly signal: AbortSignal;
  token(): void;
  cancel(reason: Error): void;
  /** Waits for the promise, or throws the reason of the signal, whichever comes first. */
  within<P>(promise: Promise<P>): Promise<P>;
  stop(): void;
}

interface Watched {
  limits: AnswerLimits;
  streamed: boolean;
  outer: AbortSignal;
}

/** Watches one request from its start to the end of its answer. */
export function watchAnswer({ limits, streamed, outer }: Watched): AnswerWatch {
  const controller = new AbortController();
  const late = (what: string, ms: number) => () =>
    controller.abort(new ModelError("timeout", `the model sent no ${what} within ${ms} ms`));
  const wholeMs = streamed ? limits.wholeAnswerMs : limits.timeoutMs;
  const whole = setTimeout(late("whole answer", wholeMs), wholeMs);
  let idle = streamed ? setTimeout(late("token", limits.firstTokenMs), limits.firstTokenMs) : undefined;
  const caller = followSignals([outer], (reason) => controller.abort(reason));
  const aborted = new Promise<never>((_, reject) => {
    const fail = () => reject(controller.signal.reason);
    if (controller.signal.aborted) fail();
    else controller.signal.addEventListener("abort", fail, { once: true });
  });
  aborted.catch(() => undefined);
  return {
    signal: controller.signal,
    token() {
      if (!streamed) return;
      clearTimeout(idle);
      idle = setTimeout(late("further token", limits.betweenTokensMs), limits.betweenTokensMs);
    },
    cancel: (reason) => controller.abort(reason),
    within: (promise) => Promise.race([aborted, promise]),
    stop() {
      clearTimeout(idle);
      clearTimeout(whole);
      caller.leave();
    },
  };
}

/** One signal that aborts with the first of these. `leave` it at the end. */
export function joinSignals(signals: readonly (AbortSignal | undefined)[]): {
  signal: AbortSignal;
  leave(): void;
} {
  const controller = new AbortController();
  const given = signals.filter((signal) => signal !== undefined);
  return { signal: controller.signal, ...followSignals(given, (reason) => controller.abort(reason)) };
}

/** Not AbortSignal.any: its links stay on a signal that lives as long as the run. */
function followSignals(signals: readonly AbortSignal[], abort: (reason: unknown) => void): { leave(): void } {
  const follow = [...new Set(signals)].map((signal) => ({ signal, listener: () => abort(signal.reason) }));
  for (const { signal, listener } of follow) {
    if (signal.aborted) listener();
    else signal.addEventListener("abort", listener, { once: true });
  }
  return {
    leave: () => {
      for (const { signal, listener } of follow) signal.removeEventListener("abort", listener);
    },
  };
}
