import { type Fits, Lane } from "../db/lane.ts";
import type { Database } from "../db/pool.ts";
import {
  type GroupItem,
  partsOf,
  type StepRow,
  writeGroup,
  writeGroupWithParts,
} from "../db/queries/checkpoint-groups.ts";
import { bytesOfParts } from "../domain/parts.ts";

/**
 * Statements under way at a time. A thread's writes always take the same lane, so they keep their order. While one of many runs
 * waits for its commit, others work; of few runs a second lane makes groups half as large, and each statement costs the same.
 */
const lanesMax = 2;
const runsPerLane = 32;
const itemsPerGroupMax = 128;
const bytesPerGroupMax = 4_000_000;

interface Weighed {
  item: GroupItem;
  bytes: number;
}

/**
 * Writes of many runs on their way into the database: what arrives while a statement is under way travels in the
 * next one. A caller is answered when its own rows are committed; false when its lease is gone.
 */
export class GroupCommit {
  readonly #lanes: Lane<Weighed, boolean>[];

  /** For a process that works on up to `runsMax` runs at once. */
  constructor(db: Database, { runsMax = runsPerLane } = {}) {
    const send = async (group: Weighed[]): Promise<boolean[]> => {
      const items = group.map(({ item }) => item);
      const withParts = items.some((item) => partsOf(item).length > 0);
      const written = new Set(await (withParts ? writeGroupWithParts : writeGroup)(db, items));
      return items.map((_, n) => written.has(n));
    };
    const lanes = Math.min(lanesMax, Math.ceil(runsMax / runsPerLane));
    this.#lanes = Array.from({ length: lanes }, () => new Lane({ fits: roomForWrites, send }));
  }

  write(item: GroupItem): Promise<boolean> {
    const lane = this.#lanes[laneOf(item.threadId, this.#lanes.length)];
    if (lane === undefined) throw new Error("there is no lane");
    return lane.join({ item, bytes: bytesOf(item) });
  }
}

/** A run's replacing write travels without other writes of it: one statement cannot do both. */
function roomForWrites(): Fits<Weighed> {
  const runs = new Map<string, "kept" | "replaced" | "later">();
  let [items, bytes] = [0, 0];
  return ({ item: { runId, replace }, bytes: own }) => {
    const before = runs.get(runId);
    const full = items >= itemsPerGroupMax || (items > 0 && bytes + own > bytesPerGroupMax);
    // Once one of a run's writes has to wait, all behind it do: its order is kept.
    if (full || before === "later" || before === "replaced" || (replace && before === "kept")) {
      runs.set(runId, "later");
      return false;
    }
    runs.set(runId, replace ? "replaced" : "kept");
    items += 1;
    bytes += own;
    return true;
  };
}

function bytesOf({ batch, puts, writes }: GroupItem): number {
  const events = batch.events.reduce((sum, { data }) => sum + data.length, bytesOfParts(batch.parts));
  const pending = writes.reduce((sum, { blob }) => sum + blob.byteLength, 0);
  return puts.reduce((sum, step) => sum + bytesOfStep(step), events + pending);
}

function bytesOfStep({ blobs, parts, checkpoint, metadata }: StepRow): number {
  const values = blobs.reduce((sum, { blob }) => sum + (blob?.byteLength ?? 0), 0);
  return values + bytesOfParts(parts) + checkpoint.length + metadata.length;
}

/** Thread ids are random: a few of their digits spread them evenly. */
const laneOf = (threadId: string, lanes: number): number =>
  Number.parseInt(threadId.slice(-4), 16) % lanes || 0;
