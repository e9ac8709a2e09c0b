export const ttlStrategies = ["delete", "keep_latest"] as const;

/** What becomes of an idle thread, and so many minutes after its last update: it goes, or all but its latest state does. */
export interface ThreadTtl {
  minutes: number;
  strategy: (typeof ttlStrategies)[number];
}

/** The minutes after which a thread is treated so; null for a time to live of the other kind, or for none. */
export const minutesOf = (
  ttl: ThreadTtl | null | undefined,
  strategy: ThreadTtl["strategy"],
): number | null => (ttl?.strategy === strategy ? ttl.minutes : null);

/** How long a project keeps what says nothing about that itself. */
export interface Lifetimes {
  /** Of threads; null keeps them. */
  thread: ThreadTtl | null;
  /** Of items of the long-term memory, in minutes; null keeps them. */
  itemMinutes: number | null;
  /** Whether reading an item puts its end off. */
  refreshOnRead: boolean;
}

export const forever: Lifetimes = { thread: null, itemMinutes: null, refreshOnRead: true };
