import type { AccessFilter } from "../domain/access.ts";
import type { ThreadTtl } from "../domain/lifetimes.ts";
import type { EffectsPolicy, MultitaskStrategy, RunKwargs } from "../domain/run.ts";

/** A run to be accepted, parsed and with its assistant resolved. */
export interface CreateRun {
  tenant: string;
  threadId: string;
  assistantId: string;
  graphId: string;
  kwargs: RunKwargs;
  metadata: Record<string, unknown>;
  /** What callers made configurable, as shown on the thread. */
  threadConfig: Record<string, unknown> | null;
  multitaskStrategy: MultitaskStrategy;
  afterSeconds: number;
  temporary: boolean;
  /** Make the thread when it does not exist. */
  createThread: boolean;
  threadMetadata?: Record<string, unknown>;
  /** The caller's own name for the thread, where it was called by that. */
  threadKey?: string | undefined;
  /** Of a thread that is made for it and kept. */
  threadTtl?: ThreadTtl | null;
  /** What the thread's metadata must contain for the caller to see it. */
  access?: AccessFilter | null;
  attemptsMax: number;
  redriveOf: string | null;
  /** What to do about effects that lie behind the point it starts from; a run that forks without a word is refused. */
  effectsPolicy?: EffectsPolicy | null;
  idempotencyKey: string | null;
  /** What the caller sent, where `kwargs` hold more than that (defaults of the thread change between two requests). */
  sent?: unknown;
  /** Who answers, when the run resumes a question. */
  principal: string;
}
