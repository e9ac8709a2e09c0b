import type { Database } from "../db/pool.ts";
import { type GroupItem, writeGroup } from "../db/queries/checkpoint-groups.ts";
import { DatabaseAway } from "../domain/errors.ts";

/** Statements under way at a time. A thread's writes always take the same lane, so they keep their order. */
const lanesTotal = 2;
const itemsPerGroupMax = 128;
const bytesPerGroupMax = 4_000_000;

interface Waiting {
  item: GroupItem;
  bytes: number;
  resolve(written: boolean): void;
  reject(error: unknown): void;
}

/**
 * Writes of many runs on their way into the database: what arrives while a statement is under way travels in the
 * next one. A caller is answered when its own rows are committed; false when its lease is gone.
 */
export class GroupCommit {
  readonly #lanes: Lane[];

  constructor(db: Database) {
    this.#lanes = Array.from({ length: lanesTotal }, () => new Lane(db));
  }

  write(item: GroupItem): Promise<boolean> {
    const lane = this.#lanes[laneOf(item.threadId)];
    if (lane === undefined) throw new Error("there is no lane");
    return lane.write(item);
  }
}

class Lane {
  readonly #db: Database;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(db: Database) {
    this.#db = db;
  }

  write(item: GroupItem): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, bytes: bytesOf(item), resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // What other runs write in this turn of the loop comes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const { group, rest } = firstGroup(this.#waiting);
      this.#waiting = rest;
      await this.#send(group);
    }
    this.#busy = false;
  }

  async #send(group: Waiting[]): Promise<void> {
    try {
      const written = new Set(
        await writeGroup(
          this.#db,
          group.map(({ item }) => item),
        ),
      );
      group.forEach(({ resolve }, n) => {
        resolve(written.has(n));
      });
    } catch (error) {
      // One value that Postgres refuses must fail its own caller only. A database that is away fails them all.
      if (group.length === 1 || error instanceof DatabaseAway) for (const { reject } of group) reject(error);
      else for (const waiting of group) await this.#send([waiting]);
    }
  }
}

/** As many as fit. A run's replacing write travels without other writes of it: one statement cannot do both. */
function firstGroup(waiting: readonly Waiting[]): { group: Waiting[]; rest: Waiting[] } {
  const group: Waiting[] = [];
  const rest: Waiting[] = [];
  const runs = new Map<string, "kept" | "replaced" | "later">();
  let bytes = 0;
  for (const each of waiting) {
    const { item } = each;
    const before = runs.get(item.runId);
    const replaces = item.replace;
    const full =
      group.length >= itemsPerGroupMax || (group.length > 0 && bytes + each.bytes > bytesPerGroupMax);
    // Once one of a run's writes has to wait, all behind it do: its order is kept.
    if (full || before === "later" || before === "replaced" || (replaces && before === "kept")) {
      runs.set(item.runId, "later");
      rest.push(each);
      continue;
    }
    runs.set(item.runId, replaces ? "replaced" : "kept");
    bytes += each.bytes;
    group.push(each);
  }
  return { group, rest };
}

function bytesOf({ batch, put, writes }: GroupItem): number {
  const events = batch.events.reduce((sum, { data }) => sum + data.length, 0);
  const pending = writes.reduce((sum, { blob }) => sum + blob.byteLength, 0);
  if (put === undefined) return events + pending;
  const blobs = put.blobs.reduce((sum, { blob }) => sum + (blob?.byteLength ?? 0), 0);
  return events + pending + blobs + put.checkpoint.length + put.metadata.length;
}

/** Thread ids are random: a few of their digits spread them evenly. */
const laneOf = (threadId: string): number => Number.parseInt(threadId.slice(-4), 16) % lanesTotal || 0;
