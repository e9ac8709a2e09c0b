// One model call: from the journal when it was answered before, else from the first model that answers. Retries here
// are the quick ones of a broken link, before the first token; all others belong to the run. Read next: started.ts
// (one request), breaker.ts, src/effects/journal.ts (what is counted and stored).
import { randomUUID } from "node:crypto";
import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import type { BaseMessage } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import pRetry from "p-retry";
import type { JournaledCall } from "../effects/journal.ts";
import { failpoint } from "../observe/failpoint.ts";
import {
  type Answered,
  answerStoredCharactersMax,
  decodePieces,
  encodePiece,
  finishOf,
  type Piece,
  saysSomething,
  stamp,
  tidy,
  usageOf,
} from "./answer.ts";
import { requestText } from "./digest.ts";
import { fallbacksFor, goesOn, worst } from "./fallback.ts";
import { ModelError } from "./model-error.ts";
import { callerConfig, type ModelRuntime, surroundings } from "./runtime.ts";
import { type Started, start } from "./started.ts";
import { optionsFor, type RequestOptions, type Target, targetName } from "./target.ts";
import { joinSignals } from "./watch.ts";

export interface ModelCall {
  targets: readonly [Target, ...Target[]];
  messages: BaseMessage[];
  options: RequestOptions & { signal?: AbortSignal; [callerConfig]?: RunnableConfig };
  streamed: boolean;
  runManager: CallbackManagerForLLMRun | undefined;
  /** What the call uses outside a run. */
  alone: ModelRuntime;
}

/** One call on its way. */
interface Underway {
  call: ModelCall;
  runtime: ModelRuntime;
  journaled: JournaledCall | undefined;
  /** Aborts when the caller or its run gives up. */
  signal: AbortSignal;
  /** Requests sent so far. */
  tries: number;
  lastError: unknown;
}

/** The pieces of the answer. The one that ends it is given out when the whole is stored. */
export async function* callModel(call: ModelCall): AsyncGenerator<Piece> {
  const { runtime: lent, place, signal } = surroundings(call.options);
  const runtime = lent ?? call.alone;
  const caller = joinSignals([call.options.signal, signal, runtime.signal]);
  let journaled: JournaledCall | undefined;
  try {
    caller.signal.throwIfAborted();
    journaled = place === undefined ? undefined : await runtime.journal?.open(place, requestText(call));
    yield* answerOf({ call, runtime, journaled, signal: caller.signal, tries: 0, lastError: undefined });
  } finally {
    journaled?.close();
    caller.leave();
  }
}

async function* answerOf(underway: Underway): AsyncGenerator<Piece> {
  const { runtime, journaled } = underway;
  const stored = journaled?.answer ?? null;
  if (stored !== null) {
    runtime.events.replayed();
    return yield* decodePieces(stored);
  }
  const started = await firstThatAnswers(underway);
  let failure: unknown;
  try {
    yield* whole(underway, started);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await started.close(failure);
  }
}

async function firstThatAnswers(underway: Underway): Promise<Started> {
  const { call, runtime, journaled } = underway;
  const [first] = call.targets;
  const errors: { target: Target; error: ModelError }[] = [];
  for (const target of [first, ...fallbacksFor(call)]) {
    if (!goesOn(errors.at(-1), target)) continue;
    try {
      return await withQuickTries(underway, target);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      if (error.kind === "auth") runtime.events.invalidKey(targetName(target), error.status);
      errors.push({ target, error });
      underway.lastError = error;
    }
  }
  const error = worst(errors.map((one) => one.error));
  if (error.kind === "unavailable") await journaled?.putOff(error);
  throw error;
}

function withQuickTries(underway: Underway, target: Target): Promise<Started> {
  const { quickTriesMax, quickRetryWaitMs } = target.limits;
  return pRetry(() => tryOnce(underway, target), {
    retries: Math.max(0, quickTriesMax - 1),
    minTimeout: quickRetryWaitMs,
    randomize: true,
    signal: underway.signal,
    shouldRetry: ({ error }) => error instanceof ModelError && error.kind === "network",
  });
}

function tryOnce(underway: Underway, target: Target): Promise<Started> {
  const { call, runtime, journaled, signal: caller } = underway;
  const { streamed, messages, options, runManager } = call;
  return start({
    target,
    streamed,
    signal: caller,
    runtime,
    async count() {
      await journaled?.ask(targetName(target), underway.lastError);
      underway.tries++;
    },
    async failed(error) {
      underway.lastError = error;
      await journaled?.failed(error);
    },
    pieces: (signal) => {
      const asked = { ...optionsFor(target, options), signal };
      const pieces = streamed ? streamOf(target, messages, asked) : piecesOf(target, messages, asked);
      return named(pieces, `run-${runManager?.runId ?? randomUUID()}`);
    },
  });
}

// The run manager is not handed on: the model would tell of tokens that a failed request sent.
const streamOf = ({ model }: Target, messages: BaseMessage[], options: object): AsyncGenerator<Piece> =>
  model._streamResponseChunks(messages, options as never);

async function* piecesOf({ model }: Target, messages: BaseMessage[], options: object): AsyncGenerator<Piece> {
  const { generations } = await model._generate(messages, options as never);
  yield* generations;
}

async function* named(pieces: AsyncGenerator<Piece>, id: string): AsyncGenerator<Piece> {
  for await (const piece of pieces) yield tidy(piece, id);
}

/** Passes the pieces on, keeps each as it came, and stores them before it gives out those that end the answer. */
async function* whole(underway: Underway, started: Started): AsyncGenerator<Piece> {
  const { target } = started;
  const kept = new Keeper(target.limits.answerCharactersMax);
  const last: Piece[] = [];
  for await (const piece of both(started)) {
    kept.look(piece);
    if (last.length > 0 || finishOf(piece) !== undefined || !underway.call.streamed) {
      last.push(piece);
      continue;
    }
    kept.encode(piece);
    yield piece;
  }
  kept.assertWhole(target.endsWithReason && underway.call.streamed && last.length === 0);
  const answered = answeredBy(underway, target);
  const final = last.at(-1);
  if (final !== undefined) stamp(final, answered);
  for (const piece of last) kept.encode(piece);
  await failpoint("model.received");
  await store(underway, target, kept);
  await failpoint("model.answered");
  if (answered.fallback_from !== undefined)
    underway.runtime.events.fellBack(answered.fallback_from, answered.model);
  yield* last;
}

async function* both(started: Started): AsyncGenerator<Piece> {
  yield* started.head;
  yield* started.rest();
}

function answeredBy({ call, tries }: Underway, target: Target): Answered {
  const [first] = call.targets;
  return {
    model: targetName(target),
    tries,
    ...(target === first ? {} : { fallback_from: targetName(first) }),
  };
}

async function store({ runtime, journaled }: Underway, target: Target, kept: Keeper): Promise<void> {
  const usage = usageOf(kept.counted);
  await journaled?.answered({
    answer: kept.text(),
    model: targetName(target),
    inputTokens: usage?.inputTokens ?? null,
    outputTokens: usage?.outputTokens ?? null,
  });
  runtime.events.answered(target.name, usage);
}

/** The answer as it will be stored. Pieces are encoded when they are given out: their readers change them. */
class Keeper {
  readonly #charactersMax: number;
  readonly #encoded: string[] = [];
  #characters = 0;
  #stored = 2;
  #said = false;
  /** Those that carry a count of tokens. */
  readonly counted: Piece[] = [];

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  look(piece: Piece): void {
    this.#characters += piece.text.length;
    this.#said ||= saysSomething(piece) || finishOf(piece) !== undefined;
    if ("usage_metadata" in piece.message && piece.message.usage_metadata !== undefined)
      this.counted.push(piece);
    if (this.#characters > this.#charactersMax)
      throw new ModelError("bad_answer", `the answer is longer than ${this.#charactersMax} characters`);
  }

  encode(piece: Piece): void {
    const encoded = encodePiece(piece);
    this.#stored += encoded.length + 1;
    if (this.#stored > answerStoredCharactersMax)
      throw new ModelError("bad_answer", `the answer is too large to be stored`);
    this.#encoded.push(encoded);
  }

  /** A stream that was cut at the right byte ends like a whole one; only the finish reason tells them apart. */
  assertWhole(cut: boolean): void {
    if (!this.#said) throw new ModelError("bad_answer", "the model answered nothing");
    if (cut) throw new ModelError("network", "the stream ended before the answer did");
  }

  text(): string {
    return `[${this.#encoded.join(",")}]`;
  }
}
