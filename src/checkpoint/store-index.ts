// Which texts of an item it is found by, and what is near to a question. The vectors come from a model of the
// project's; they are compared here, so that no extension of Postgres is needed.
import { setTimeout as sleep } from "node:timers/promises";
import { type FoundItem, itemsAt, vectorsBelow } from "../db/queries/store-search.ts";
import type { Queryable } from "../db/query.ts";
import { Fatal, InvalidInput, Transient } from "../domain/errors.ts";
import { type Condition, pageBytesMax } from "../domain/store-item.ts";
import { textsAt } from "../domain/text-paths.ts";
import { cosine, fromBytes, toBytes, unit } from "../domain/vector.ts";

/** The model that makes vectors of texts. */
export interface Embed {
  documents(texts: string[]): Promise<number[][]>;
  query(text: string): Promise<number[]>;
}

export interface StoreIndex {
  /** Names the model and its size: vectors of another one are not compared. */
  name: string;
  dimensions: number;
  /** Paths in an item's value, `$` for the whole of it. */
  fields: readonly string[];
  embed: Embed;
}

export interface ItemVector {
  path: string;
  bytes: Buffer;
}

const textsPerItemMax = 64;
/** What embedding models take at once ends about here; more of a text is not looked at. */
const textCharsMax = 24_000;
export const embedMillisMax = 20_000;
/** So many are read and compared for one search: 20,000 of 1,536 numbers are 120 MB and some tenths of a second. */
export const vectorsPerSearchMax = 20_000;

/** The vectors that an item is found by. `fields` in place of the index's own; false for an item that is not to be found. */
export async function vectorsOf(
  index: StoreIndex,
  value: Record<string, unknown>,
  fields: readonly string[] | false | null | undefined,
): Promise<ItemVector[]> {
  if (fields === false) return [];
  const texts = (fields ?? index.fields).flatMap((path) =>
    textsAt(value, path).map((text, n) => ({
      path: `${path}#${n}`,
      text: text.slice(0, textCharsMax),
    })),
  );
  if (texts.length > textsPerItemMax)
    throw new InvalidInput(`index: an item may be found by ${textsPerItemMax} texts at most`, {
      field: "index",
    });
  const named = [...new Map(texts.filter(({ text }) => text !== "").map((one) => [one.path, one])).values()];
  if (named.length === 0) return [];
  const made = await inTime(index.embed.documents(named.map(({ text }) => text)));
  return named.flatMap(({ path }, n) => {
    const vector = checked(index, made[n]);
    return vector === null ? [] : [{ path, bytes: toBytes(vector) }];
  });
}

interface Near {
  namespace: string[];
  key: string;
  score: number;
}

interface Search {
  tenant: string;
  prefix: readonly string[];
  conditions: readonly Condition[];
  limit: number;
  offset: number;
}

/** The items below a prefix that come nearest to what is asked, the nearest first; each by the best of its texts. */
async function nearest(
  { db, index }: { db: Queryable; index: StoreIndex },
  { asked, ...search }: Search & { asked: string },
): Promise<Near[]> {
  const wanted = checked(index, await inTime(index.embed.query(asked.slice(0, textCharsMax))));
  if (wanted === null) return [];
  const rows = await vectorsBelow(db, {
    ...search,
    model: index.name,
    limit: vectorsPerSearchMax + 1,
  });
  if (rows.length > vectorsPerSearchMax)
    throw new InvalidInput(
      `query: more than ${vectorsPerSearchMax} texts lie below this prefix: search below a longer one, or with a filter`,
      { field: "query" },
    );
  const best = new Map<string, Near>();
  for (const { namespace, key, vector } of rows) {
    const place = placeOf(namespace, key);
    const score = cosine(wanted, fromBytes(vector));
    if (score > (best.get(place)?.score ?? Number.NEGATIVE_INFINITY))
      best.set(place, { namespace, key, score });
  }
  return [...best.values()]
    .sort((a, b) => b.score - a.score)
    .slice(search.offset, search.offset + search.limit);
}

/** The items themselves, with how near each is. */
export async function itemsNear(
  { db, index }: { db: Queryable; index: StoreIndex },
  { refreshTtl, ...search }: Search & { asked: string; refreshTtl: boolean },
): Promise<(FoundItem & { score: number })[]> {
  const places = await nearest({ db, index }, search);
  const scores = new Map(places.map(({ namespace, key, score }) => [placeOf(namespace, key), score]));
  const { tenant } = search;
  const found = await itemsAt(db, { tenant, places, refreshTtl, bytesMax: pageBytesMax });
  return found.map((item) => ({ ...item, score: scores.get(placeOf(item.namespace, item.key)) ?? 0 }));
}

const placeOf = (namespace: string[], key: string): string => JSON.stringify([namespace, key]);

function checked({ name, dimensions }: StoreIndex, vector: number[] | undefined): Float32Array | null {
  if (vector?.length === dimensions) return unit(vector);
  throw new Fatal(
    `store.index: ${name} gave ${vector === undefined ? "no vector" : `a vector of ${vector.length} numbers`}, and "dims" says ${dimensions}`,
    { code: "store_index" },
  );
}

async function inTime<T>(asked: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = sleep(embedMillisMax, undefined, { signal: over.signal }).then(() => {
    throw new Transient(`store.index: no vector came within ${embedMillisMax} ms`);
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}
