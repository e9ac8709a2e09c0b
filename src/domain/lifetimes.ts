/** How long a project keeps what says nothing about that itself. */
export interface Lifetimes {
  /** Of threads, in minutes since their last update; null keeps them. */
  threadMinutes: number | null;
  /** Of items of the long-term memory, in minutes; null keeps them. */
  itemMinutes: number | null;
  /** Whether reading an item puts its end off. */
  refreshOnRead: boolean;
}

export const forever: Lifetimes = { threadMinutes: null, itemMinutes: null, refreshOnRead: true };
