import { failpoint } from "../observe/failpoint.ts";
import { type Piece, saysSomething } from "./answer.ts";
import { isBreakerFailure, type Pass } from "./breaker.ts";
import { ModelError, toModelError } from "./model-error.ts";
import type { ModelRuntime } from "./runtime.ts";
import type { Release } from "./slots.ts";
import { type Target, targetName } from "./target.ts";
import { type AnswerWatch, watchAnswer } from "./watch.ts";

export interface Request {
  target: Target;
  streamed: boolean;
  /** Aborts when the caller gives up. */
  signal: AbortSignal;
  runtime: Pick<ModelRuntime, "breaker" | "slots">;
  /** Counts the request. Throws when it must not be sent. */
  count: () => Promise<void>;
  /** Tells the journal that a counted request brought no answer. */
  failed: (error: Error) => Promise<void>;
  pieces: (signal: AbortSignal) => AsyncIterator<Piece>;
}

/** An answer that has begun: no other request will be sent for it. */
export interface Started {
  target: Target;
  /** What came up to the first token; the whole answer where it came in one piece. */
  head: Piece[];
  rest(): AsyncGenerator<Piece>;
  /** Call it at the end, whichever way it ended: with the error when the answer was of no use. */
  close(error?: unknown): Promise<void>;
}

/** Sends one request and waits for its first token. Throws ModelError, or the reason of the caller's signal. */
export async function start(request: Request): Promise<Started> {
  const { target, runtime, signal, streamed } = request;
  const release = await runtime.slots.acquire(target.provider, signal);
  let watch: AnswerWatch | undefined;
  let pass: Pass | undefined;
  try {
    pass = await runtime.breaker.admit(targetName(target));
    await request.count();
    await failpoint("model.asked");
    watch = watchAnswer({ limits: target.limits, streamed, outer: signal });
    return await begin({ request, watch, pass, release });
  } catch (error) {
    // Here no request was sent, or `begin` has settled the pass already.
    if (watch === undefined) await pass?.givenUp();
    watch?.stop();
    release();
    throw error;
  }
}

interface Begun {
  request: Request;
  watch: AnswerWatch;
  pass: Pass;
  release: Release;
}

async function begin({ request, watch, pass, release }: Begun): Promise<Started> {
  const source = request.pieces(watch.signal);
  let settled = false;
  const settle = async (error: unknown): Promise<void> => {
    if (settled) return;
    settled = true;
    if (error === undefined) await pass.succeeded();
    else if (!(error instanceof ModelError)) await pass.givenUp();
    else await (isBreakerFailure(error) ? pass.failed() : pass.succeeded());
    if (error instanceof ModelError) await request.failed(error);
  };
  const next = async (): Promise<Piece | undefined> => {
    try {
      // The race, not the client, ends the wait: an abort during a stream makes the client end it as if it were whole.
      const { done, value } = await watch.within(source.next());
      if (done === true) return undefined;
      if (saysSomething(value)) watch.token();
      return value;
    } catch (thrown) {
      const error: unknown = watch.signal.aborted ? watch.signal.reason : toModelError(thrown);
      abandon(source);
      await settle(error);
      throw error;
    }
  };
  const { head, over } = await readHead(next);
  return {
    target: request.target,
    head,
    async *rest() {
      if (over) return;
      for (let piece = await next(); piece !== undefined; piece = await next()) yield piece;
    },
    async close(error) {
      await settle(error);
      watch.cancel(new Error("the answer is not read any further"));
      abandon(source);
      watch.stop();
      release();
    },
  };
}

const headPiecesMax = 100;

async function readHead(next: () => Promise<Piece | undefined>): Promise<{ head: Piece[]; over: boolean }> {
  const head: Piece[] = [];
  while (head.length < headPiecesMax) {
    const piece = await next();
    if (piece === undefined) return { head, over: true };
    head.push(piece);
    if (saysSomething(piece)) break;
  }
  return { head, over: false };
}

/** Lets go of a source that may never answer: nobody waits for it. */
function abandon(source: AsyncIterator<Piece>): void {
  source.return?.().catch(() => undefined);
}
