/** One event of a run's stream, as stored: `seq` counts from 0 within the run, without gaps. */
export interface RunEvent {
  seq: number;
  /** The SSE event name, e.g. `values`, `messages/partial`, `updates|child:task`. */
  event: string;
  /** JSON text, ready for the wire. */
  data: string;
}

/** An event that has no number yet. */
export interface PendingEvent {
  event: string;
  data: string;
  step: number | null;
}

/** Events that travel in the next statement of the lease holder. Release it exactly once. */
export interface EventBatch {
  firstSeq: number;
  attempt: number;
  events: readonly PendingEvent[];
  /** Call with true after the commit; false puts the events back, unnumbered. */
  release(committed: boolean): void;
}

/** Where the saver gets the events that belong into its statement. */
export interface StepEvents {
  /** Events of `checkpointNs` (and below) when a step is committed; null takes only what is ready anyway. */
  take(checkpointNs: string | null): Promise<EventBatch>;
}

export const noEvents: StepEvents = {
  take: () => Promise.resolve({ firstSeq: 0, attempt: 0, events: [], release: () => undefined }),
};
