import type { StepEvents } from "../domain/event.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { ReadingOptions } from "./reader.ts";
import type { KnownParts } from "./thread-parts.ts";

/** Who writes: a run under its lease, or an API call that holds the thread's lock and its next epoch. */
export type Holder =
  | { kind: "run"; runId: string; threadId: string; epoch: number }
  | { kind: "thread"; threadId: string; epoch: number }
  | { kind: "reader" };

export interface SaverOptions extends ReadingOptions {
  holder: Holder;
  events?: StepEvents;
  /** Refuses the commit of a step: for a look at what a parked node asks, which must go no further. */
  noSteps?: boolean;
  /** Kept with every checkpoint, so that history can be searched by it. */
  metadata?: Record<string, unknown>;
  /** Whether nobody has ever written a checkpoint of the holder's thread: all there is to read is what this saver writes. */
  newThread?: boolean;
  /** Of the holder's thread, where long values are kept in parts; without it they are stored whole. */
  parts?: KnownParts;
  /** Where a run's writes travel together with those of others; without it each one goes alone. */
  group?: GroupCommit;
  /**
   * Whether LangGraph only hands the input on in the step behind it. Nothing can be lost then between the two checkpoints,
   * so they are one statement.
   */
  inputWaits?: boolean;
  /** Repeats a statement whose outcome is unknown, and counts what the fence refused. */
  write?: <T>(kind: WriteKind, statement: () => Promise<T>) => Promise<T>;
}

export type WriteKind = "checkpoint" | "write" | "event" | "input" | "effect" | "journal" | "store" | "read";
