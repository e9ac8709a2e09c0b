import { type Fits, Lane } from "../db/lane.ts";
import type { Database } from "../db/pool.ts";
import { type GroupItem, partsOf, writeGroup, writeGroupWithParts } from "../db/queries/checkpoint-groups.ts";
import { bytesOfParts } from "../domain/parts.ts";

const itemsPerGroupMax = 128;
const bytesPerGroupMax = 4_000_000;

interface Weighed {
  item: GroupItem;
  bytes: number;
}

/**
 * Writes of many runs on their way into the database: what arrives while a statement is under way travels in the
 * next one, so that a run's writes keep their order. A caller is answered when its own rows are committed; false when its
 * lease is gone. One statement is under way at a time: with two the groups are half as large, and what each costs Postgres and
 * Node beside its rows is what limits several workers on one Postgres.
 */
export class GroupCommit {
  readonly #lane: Lane<Weighed, boolean>;

  constructor(db: Database) {
    const send = async (group: Weighed[]): Promise<boolean[]> => {
      const items = group.map(({ item }) => item);
      const withParts = items.some((item) => partsOf(item).length > 0);
      const written = new Set(await (withParts ? writeGroupWithParts : writeGroup)(db, items));
      return items.map((_, n) => written.has(n));
    };
    this.#lane = new Lane({ fits: roomForWrites, send });
  }

  write(item: GroupItem): Promise<boolean> {
    return this.#lane.join({ item, bytes: bytesOf(item) });
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

function bytesOf({ batch, put, writes }: GroupItem): number {
  const events = batch.events.reduce((sum, { data }) => sum + data.length, bytesOfParts(batch.parts));
  const pending = writes.reduce((sum, { blob }) => sum + blob.byteLength, 0);
  if (put === undefined) return events + pending;
  const blobs = put.blobs.reduce((sum, { blob }) => sum + (blob?.byteLength ?? 0), 0);
  return events + pending + blobs + bytesOfParts(put.parts) + put.checkpoint.length + put.metadata.length;
}
