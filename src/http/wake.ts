import type { Bus, Topic } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { openMark, readMarks } from "../db/queries/marks.ts";
import type { Log } from "../observe/log.ts";

/** Runs and threads whose marks one statement reads. */
const subjectsPerReadMax = 2_000;
/** Where anything may have happened, all are looked at, but not more often than this. */
const lookMillisMin = 50;

/** A run with its events, the end of a run alone, or a thread. */
export interface Subject {
  kind: "run" | "end" | "thread";
  id: string;
}

/** Waits for news of its subjects. What comes between two waits is not lost. */
export interface Wake {
  /** True at the next news, at once if some came before; false after `millis`, or when the signal aborts. */
  wait(millis: number, signal: AbortSignal): Promise<boolean>;
  /** Waits for news of these from now on. */
  turnTo(subjects: readonly Subject[]): void;
  close(): void;
}

export interface WakesDeps {
  db: Database;
  bus: Bus;
  log: Log;
  /** How often news are looked for when nobody tells any. */
  pollMillis: number;
}

interface Watched extends Subject {
  /** As it was last seen; undefined before the first look, null when there is no such row. */
  mark: string | null | undefined;
  rings: Set<() => void>;
}

/**
 * Wakes the streams of this process. Notifications ring at once; below them lies one poll for all streams together,
 * so that a thousand idle ones cost a statement, not a thousand.
 */
export class Wakes {
  readonly #deps: WakesDeps;
  readonly #watched = new Map<string, Watched>();
  readonly #unsubscribes: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;
  #lookedAt = 0;
  #looking = false;
  #again = false;

  constructor(deps: WakesDeps) {
    this.#deps = deps;
  }

  on(...subjects: Subject[]): Wake {
    const bell = new Bell();
    let watched: readonly Subject[] = [];
    const turnTo = (next: readonly Subject[]): void => {
      // The new ones first: what stays is not forgotten in between.
      for (const subject of next) this.#add(subject, bell.ring);
      const kept = new Set(next.map(keyOf));
      for (const key of watched.map(keyOf)) if (!kept.has(key)) this.#remove(key, bell.ring);
      watched = next;
    };
    turnTo(subjects);
    return { wait: (millis, signal) => bell.wait(millis, signal), turnTo, close: () => turnTo([]) };
  }

  #add(subject: Subject, ring: () => void): void {
    const key = keyOf(subject);
    const known = this.#watched.get(key);
    if (known !== undefined) {
      known.rings.add(ring);
      return;
    }
    this.#watched.set(key, { ...subject, mark: firstMark(subject), rings: new Set([ring]) });
    if (this.#watched.size === 1) this.#start();
  }

  #remove(key: string, ring: () => void): void {
    const known = this.#watched.get(key);
    known?.rings.delete(ring);
    if (known?.rings.size === 0) this.#watched.delete(key);
    if (this.#watched.size === 0) this.#stop();
  }

  #start(): void {
    const hear = (topic: Topic, ...kinds: Subject["kind"][]): (() => void) =>
      this.#deps.bus.subscribe(topic, (id) => {
        if (id === "*") this.#schedule(lookMillisMin);
        else for (const kind of kinds) for (const ring of this.#rings({ kind, id })) ring();
      });
    const { pollMillis } = this.#deps;
    this.#unsubscribes.push(
      hear("events", "run"),
      hear("run", "run", "end", "thread"),
      hear("queue", "thread"),
    );
    this.#schedule(pollMillis);
  }

  #rings(subject: Subject): Iterable<() => void> {
    return this.#watched.get(keyOf(subject))?.rings ?? [];
  }

  #stop(): void {
    for (const unsubscribe of this.#unsubscribes.splice(0)) unsubscribe();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The next look comes so long after the last one at the latest. */
  #schedule(millis: number): void {
    const now = performance.now();
    const dueAt = Math.max(now, this.#lookedAt + millis);
    if (this.#timer !== undefined && this.#dueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => void this.#look(), dueAt - now);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    this.#lookedAt = performance.now();
    try {
      const subjects = [...this.#watched.values()];
      for (let from = 0; from < subjects.length; from += subjectsPerReadMax) {
        await this.#compare(subjects.slice(from, from + subjectsPerReadMax));
      }
    } catch (error) {
      this.#deps.log.warn({ error }, "the poll of the streams waits for the database");
    } finally {
      this.#looking = false;
      if (this.#watched.size > 0) this.#schedule(this.#again ? lookMillisMin : this.#deps.pollMillis);
      this.#again = false;
    }
  }

  async #compare(subjects: Watched[]): Promise<void> {
    const idsOf = (kind: Subject["kind"]): string[] =>
      subjects.flatMap((watched) => (watched.kind === kind ? [watched.id] : []));
    const rows = await readMarks(this.#deps.db, {
      runIds: idsOf("run"),
      endingIds: idsOf("end"),
      threadIds: idsOf("thread"),
    });
    const marks = new Map(rows.map(({ kind, id, mark }) => [keyOf({ kind, id }), mark]));
    for (const watched of subjects) {
      const mark = marks.get(keyOf(watched)) ?? null;
      // Before the first look nobody knows what its stream has read: it is asked to look once.
      if (mark === watched.mark) continue;
      watched.mark = mark;
      for (const ring of watched.rings) ring();
    }
  }
}

const keyOf = ({ kind, id }: Subject): string => `${kind} ${id}`;

/** Who waits for an end has looked, or will look, after it began to listen. */
const firstMark = ({ kind }: Subject): string | undefined => (kind === "end" ? openMark : undefined);

/** One stream's own: rings once, and stays rung until that is noticed. */
class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  async wait(millis: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(end, millis);
        signal.addEventListener("abort", end, { once: true });
        function end(): void {
          clearTimeout(timer);
          signal.removeEventListener("abort", end);
          resolve();
        }
        this.#wake = end;
      });
      this.#wake = undefined;
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
