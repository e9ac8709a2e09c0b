import {
  BaseStore,
  type GetOperation,
  type Item,
  type ListNamespacesOperation,
  type Operation,
  type OperationResults,
  type PutOperation,
  type SearchItem,
  type SearchOperation,
} from "@langchain/langgraph-checkpoint";
import type { Database } from "../db/pool.ts";
import * as items from "../db/queries/store.ts";
import type { ItemRow } from "../db/queries/store-fragments.ts";
import { type FoundItem, searchItems } from "../db/queries/store-search.ts";
import { one } from "../db/query.ts";
import { InvalidInput, LeaseLost } from "../domain/errors.ts";
import { toJson } from "../domain/json.ts";
import type { Lifetimes } from "../domain/lifetimes.ts";
import {
  conditionsOf,
  keyFault,
  namespaceFault,
  pageBytesMax,
  placeFault,
  valueBytesMax,
} from "../domain/store-item.ts";
import type { WriteKind } from "./saver-options.ts";
import { itemsNear, type StoreIndex, vectorsOf } from "./store-index.ts";

const operationsMax = 10_000;
const itemsMax = 10_000;
const itemsDefault = 10;
const namespacesDefault = 100;

export interface RunStoreOptions {
  db: Database;
  tenant: string;
  writer: items.Writer;
  /** Repeats a statement while the database is away, and counts what the fence refused. */
  write: <T>(kind: WriteKind, statement: () => Promise<T>) => Promise<T>;
  /** What items are searched by meaning with; null where the project has none. */
  index: StoreIndex | null;
  lifetimes: Lifetimes;
  /** A graph searched by meaning, and there is no index. */
  onQuery: () => void;
}

type Task = () => Promise<unknown>;

/**
 * The long-term memory as the nodes of one run see it: that of the run's tenant, and written only while the run holds
 * its lease. LangGraph asks by `inOrder` (direct-store.ts).
 */
export class RunStore extends BaseStore {
  readonly #options: RunStoreOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: RunStoreOptions) {
    super();
    this.#options = options;
  }

  /** One after the other, as they were asked for. What is invalid is found before anything is done. */
  override async batch<Op extends Operation[]>(operations: Op): Promise<OperationResults<Op>> {
    if (operations.length > operationsMax)
      throw new InvalidInput(`store: more than ${operationsMax} operations at once`);
    const tasks = operations.map((operation) => this.#taskOf(operation));
    const results: unknown[] = [];
    for (const task of tasks) results.push(await task());
    return results as OperationResults<Op>;
  }

  /** One operation, after those that were asked for before it. Its value is taken now. */
  async inOrder(operation: Operation): Promise<unknown> {
    const task = this.#taskOf(operation);
    const result = this.#turn.then(task);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** It lands in traces with the config; what it holds is no part of them. */
  toJSON(): string {
    return "[Store]";
  }

  #taskOf(operation: Operation): Task {
    if ("namespacePrefix" in operation) return this.#search(operation);
    if ("value" in operation) return this.#put(operation);
    if ("key" in operation) return this.#get(operation);
    return this.#list(operation);
  }

  #get({ namespace, key }: GetOperation): Task {
    const { db, tenant, lifetimes } = this.#options;
    const place = { tenant, namespace, key, refreshTtl: lifetimes.refreshOnRead };
    if (namespaceFault(namespace) !== null || keyFault(key) !== null) return async () => null;
    return async () => {
      const found = await this.#read(() => items.getItem(db, place));
      const row = one(found);
      return row === undefined ? null : itemOf(row, row.value);
    };
  }

  #put({ namespace, key, value, index: fields }: PutOperation): Task {
    const { db, tenant, writer, index, lifetimes } = this.#options;
    refuse(placeFault(namespace) ?? keyFault(key));
    const place = { tenant, namespace, key, ...writer };
    if (value === null) return () => this.#write(() => items.deleteItemAsRun(db, place));
    if (typeof value !== "object" || Array.isArray(value))
      throw new InvalidInput(`store: the value of ${key} must be an object`);
    // Taken now: the node may go on to change its object.
    const text = toJson(value, {
      what: `store item ${key}`,
      bytesMax: valueBytesMax,
      code: "unstorable_value",
    });
    const plain = { ...place, value: text, ttlMinutes: lifetimes.itemMinutes };
    if (index === null)
      return () => this.#write(() => items.putItemAsRun(db, { ...plain, vectors: [], model: null }));
    const taken = JSON.parse(text) as Record<string, unknown>;
    return async () => {
      const vectors = await vectorsOf(index, taken, fields);
      await this.#write(() => items.putItemAsRun(db, { ...plain, vectors, model: index.name }));
    };
  }

  #search({ namespacePrefix, filter, limit, offset, query }: SearchOperation): Task {
    const { db, tenant, index, lifetimes, onQuery } = this.#options;
    refuse(namespaceFault(namespacePrefix));
    const search = {
      tenant,
      prefix: namespacePrefix,
      conditions: conditionsOf(filter ?? {}),
      ...pageOf({ limit: limit ?? itemsDefault, offset }),
      refreshTtl: lifetimes.refreshOnRead,
    };
    if (query && index !== null)
      return async () => found(await this.#read(() => itemsNear({ db, index }, { ...search, asked: query })));
    if (query) onQuery();
    const newest = { ...search, bytesMax: pageBytesMax };
    return async () => found(await this.#read(() => searchItems(db, newest)));
  }

  #list({ matchConditions, maxDepth, limit, offset }: ListNamespacesOperation): Task {
    const { db, tenant } = this.#options;
    const matches = matchConditions ?? [];
    for (const { path } of matches) refuse(namespaceFault(path));
    const page = pageOf({ limit: limit ?? namespacesDefault, offset });
    const depthMax = maxDepth ?? null;
    return () => this.#read(() => items.listNamespaces(db, { tenant, matches, depthMax, ...page }));
  }

  #read<T>(statement: () => Promise<T>): Promise<T> {
    return this.#options.write("read", statement);
  }

  async #write(statement: () => Promise<number[]>): Promise<void> {
    const rows = await this.#options.write("store", statement);
    if (rows.length === 0) throw new LeaseLost("a store write was refused: the lease has moved on");
  }
}

function found(rows: (FoundItem & { score?: number })[]): SearchItem[] {
  return rows.map(({ score, value, ...row }) => {
    if (value === null)
      throw new InvalidInput(`store: the items found have more than ${pageBytesMax} bytes, ask for fewer`);
    return { ...itemOf(row, value), ...(score === undefined ? {} : { score }) };
  });
}

function refuse(fault: string | null): void {
  if (fault !== null) throw new InvalidInput(`store: ${fault}`);
}

function pageOf({ limit, offset = 0 }: { limit: number; offset: number | undefined }): {
  limit: number;
  offset: number;
} {
  const isCount = (count: number): boolean => Number.isSafeInteger(count) && count >= 0;
  if (isCount(limit) && limit <= itemsMax && isCount(offset)) return { limit, offset };
  throw new InvalidInput(`store: limit may be ${itemsMax} at most, and limit and offset are whole numbers`);
}

const itemOf = (
  { namespace, key, created_at, updated_at }: Omit<ItemRow, "value">,
  value: ItemRow["value"],
): Item => ({ namespace, key, value, createdAt: created_at, updatedAt: updated_at });
