import { setImmediate as nextTurn } from "node:timers/promises";
import type { GroupCommit } from "../checkpoint/group-commit.ts";
import type { Bus } from "../db/listen.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { LeaseLost, Transient } from "../domain/errors.ts";
import { type EventBatch, type PendingEvent, type RunEvents, repeatsState } from "../domain/event.ts";
import { type Sending, type ThreadParts, wholeCharsMax } from "../domain/parts.ts";

/** A run's events are written this often at most. The first after a silence goes at once, what follows it soon waits
 * for company; an attempt begins as if it had just written, since its first checkpoint comes soon and takes them along. */
const flushMillis = 20;
const eventsPerStatementMax = 500;
/** Of one attempt. LangGraph reads its nodes however long its reader takes, so a limit is all that keeps the memory. */
const waitingCharsMax = 64_000_000;

interface Options {
  /** Takes the tokens of all runs of this process into one statement. */
  group: GroupCommit;
  bus: Bus;
  run: RunRow;
  /** The number behind the last event that is stored. */
  nextSeq: number;
  /** Of its thread, where long events are kept in parts. */
  parts: ThreadParts;
  write: <T>(statement: () => Promise<T>) => Promise<T>;
  /** A flush that failed for good: the attempt must stop. */
  onError: (error: unknown) => void;
}

/** An event with its place among all that came. */
interface Numbered {
  nth: number;
  event: PendingEvent;
}
interface Held extends Numbered {
  ns: string;
}

interface Taken {
  ready: Numbered[];
  held: Held[];
}

const isLong = (event: PendingEvent): boolean => event.data.length >= wholeCharsMax && repeatsState(event);

async function storedForms(events: readonly PendingEvent[], sending: Sending): Promise<PendingEvent[]> {
  const stored: PendingEvent[] = [];
  for (const event of events)
    stored.push(isLong(event) ? { ...event, data: await sending.cut(event.event, event.data) } : event);
  return stored;
}

const nothing: EventBatch = { firstSeq: 0, attempt: 0, events: [], parts: [], release: () => undefined };

/**
 * The events of one attempt on their way into the database. One statement with events is under way at a time, so
 * that numbers become visible in order; a reader that sees event n has seen all before it.
 */
export class EventWriter implements RunEvents {
  readonly #options: Options;
  #ready: Numbered[] = [];
  #held: Held[] = [];
  #nextSeq: number;
  #count = 0;
  /** Of what is ready, held, or under way. */
  #waitingChars = 0;
  #turn: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #writtenAt = performance.now();
  #closed = false;

  constructor(options: Options) {
    this.#options = options;
    this.#nextSeq = options.nextSeq;
  }

  ready(event: PendingEvent): void {
    const numbered = this.#numbered(event);
    if (numbered === undefined) return;
    this.#ready.push(numbered);
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#flush().catch(this.#options.onError);
      },
      Math.max(0, this.#writtenAt + flushMillis - performance.now()),
    );
  }

  held(ns: string, event: PendingEvent): void {
    const numbered = this.#numbered(event);
    if (numbered !== undefined) this.#held.push({ ...numbered, ns });
  }

  follow(ns: string, event: PendingEvent): void {
    if (this.#held.some((before) => before.ns === ns)) this.held(ns, event);
    else this.ready(event);
  }

  waits(ns: string): boolean {
    return this.#held.some((held) => held.ns === ns);
  }

  async take(checkpointNs: string | null): Promise<EventBatch> {
    if (checkpointNs === null && this.#ready.length === 0) return nothing;
    if (checkpointNs !== null) {
      // LangGraph's chunks reach us through a few promises; after a turn of the loop, all of this step are here.
      await nextTurn();
      await this.#storeBacklog();
    }
    const done = await this.#lock();
    const belongs = ({ ns }: Held): boolean => checkpointNs !== null && ns.startsWith(checkpointNs);
    const held = this.#held.filter(belongs);
    this.#held = this.#held.filter((other) => !belongs(other));
    const last = held.reduce((nth, each) => Math.max(nth, each.nth), -1);
    const later = this.#ready.findIndex(({ nth }) => nth > last);
    // What came before an event of the step is never numbered behind it.
    const earlier = later === -1 ? this.#ready.length : later;
    const ready = this.#ready.splice(0, Math.max(eventsPerStatementMax, earlier));
    try {
      return await this.#batch({ ready, held }, done);
    } catch (error) {
      this.#putBack({ ready, held });
      done();
      throw error;
    }
  }

  async finish(): Promise<PendingEvent[]> {
    await nextTurn();
    for (;;) {
      // A statement under way has its events in hand: settled before it, the run would refuse them.
      const done = await this.#lock();
      done();
      if (this.#ready.length === 0) break;
      await this.#flush();
    }
    const held = this.#held;
    this.close();
    return held.map(({ event }) => event);
  }

  /** Stops the timer; what was not stored is forgotten, and so is what a graph that was left to itself still says. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#ready = [];
    this.#held = [];
  }

  /** Undefined when the attempt is over, or ends here because too much waits. */
  #numbered(event: PendingEvent): Numbered | undefined {
    if (this.#closed) return undefined;
    if (this.#waitingChars > waitingCharsMax) {
      this.close();
      const waiting = `events of more than ${waitingCharsMax} characters wait to be stored`;
      this.#options.onError(new Transient(`${waiting}: Postgres is away, or slower than the graph`));
      return undefined;
    }
    this.#waitingChars += event.data.length;
    return { nth: this.#count++, event };
  }

  #putBack({ ready, held }: Taken): void {
    if (this.#closed) return;
    this.#ready = [...ready, ...this.#ready];
    this.#held = [...held, ...this.#held];
  }

  async #batch({ ready, held }: Taken, done: () => void): Promise<EventBatch> {
    const { bus, run } = this.#options;
    const events = [...ready, ...held].sort((a, b) => a.nth - b.nth).map(({ event }) => event);
    const chars = events.reduce((sum, { data }) => sum + data.length, 0);
    const sending = this.#options.parts.open();
    const stored = events.some(isLong) ? await storedForms(events, sending) : events;
    return {
      firstSeq: this.#nextSeq,
      attempt: run.attempt,
      events: stored,
      parts: sending.parts,
      release: (committed) => {
        if (committed) {
          sending.committed();
          this.#nextSeq += events.length;
          this.#waitingChars -= chars;
        }
        // What waited for a commit that failed waits on: its step will be repeated.
        else this.#putBack({ ready, held });
        if (events.length > 0) this.#writtenAt = performance.now();
        if (committed && events.length > 0) bus.publish("events", run.run_id);
        done();
      },
    };
  }

  /** In statements of their own, so that the step's stays small. */
  async #storeBacklog(): Promise<void> {
    const now = this.#count;
    while ((this.#ready[eventsPerStatementMax]?.nth ?? now) < now) await this.#store();
  }

  /** Stores what is ready; what comes meanwhile has a timer of its own. */
  async #flush(): Promise<void> {
    await this.#storeBacklog();
    await this.#store();
  }

  async #store(): Promise<void> {
    if (this.#ready.length === 0) return;
    const { group, run, write } = this.#options;
    const batch = await this.take(null);
    let committed = batch.events.length === 0;
    try {
      if (committed) return;
      const lease = { runId: run.run_id, threadId: run.thread_id, epoch: run.epoch };
      const item = { ...lease, puts: [], writes: [], replace: false, batch };
      const rows = await write(async () => {
        // Also when nobody hears of it any more, because the attempt is told to stop in that moment.
        committed = await group.write(item);
        return committed ? [item.epoch] : [];
      });
      if (rows.length === 0) throw new LeaseLost("events were refused: the lease has moved on");
    } finally {
      batch.release(committed);
    }
  }

  /** Waits for the statement before, and gives the function that lets the next one go. */
  async #lock(): Promise<() => void> {
    const before = this.#turn;
    let done: () => void = () => undefined;
    this.#turn = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    return done;
  }
}
