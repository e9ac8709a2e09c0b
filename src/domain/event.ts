import type { Part } from "./parts.ts";

/** An event that has no number yet. */
export interface PendingEvent {
  event: string;
  data: string;
  step: number | null;
}

/** The number of `metadata`, which the statement of a run's first claim stores: that run has begun. */
export const announcementSeq = 0;

/** Events that travel in the next statement of the lease holder. Release it exactly once. */
export interface EventBatch {
  firstSeq: number;
  attempt: number;
  events: readonly PendingEvent[];
  /** Of their long texts, those that are not stored yet. */
  parts: readonly Part[];
  /** Call with true after the commit; false puts the events back, unnumbered. */
  release(committed: boolean): void;
}

/** Where the saver gets the events that belong into its statement. */
export interface StepEvents {
  /** Events of `checkpointNs` (and below) when a step is committed; null takes only what is ready anyway. */
  take(checkpointNs: string | null): Promise<EventBatch>;
}

export const noEvents: StepEvents = {
  take: () => Promise.resolve({ firstSeq: 0, attempt: 0, events: [], parts: [], release: () => undefined }),
};

/** Events that repeat the state: kept in parts when they are long. Others say what is said once. */
export const repeatsState = ({ event }: { event: string }): boolean =>
  repeating.has(event.split("|", 1)[0] ?? "");
const repeating = new Set(["values", "checkpoints", "debug"]);

/** The stream of one attempt, being written: the saver takes from it, the engine puts into it. */
export interface RunEvents extends StepEvents {
  /** May be stored at once: tokens, custom events, values of a step that is committed. */
  ready(event: PendingEvent): void;
  /** Waits for the commit of its step in `checkpointNs`, or for the run's outcome. */
  held(checkpointNs: string, event: PendingEvent): void;
  /** Whether something of exactly this namespace waits for its commit. */
  waits(checkpointNs: string): boolean;
  /** May be stored at once, too, but not before what is held in `checkpointNs` already. */
  follow(checkpointNs: string, event: PendingEvent): void;
  /** Takes what no commit has claimed, for the outcome's own transaction, and stores the rest. */
  finish(): Promise<PendingEvent[]>;
}
