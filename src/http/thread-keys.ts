import { threadKeySecret } from "../db/queries/keys.ts";
import { one, type Queryable } from "../db/query.ts";
import { keyedThreadId } from "../domain/ids.ts";
import { keyOf } from "../domain/thread-key.ts";

/** Gives a key its thread's id: the same in every process, another one in each tenant. Nobody can work it out from outside. */
export class ThreadKeys {
  readonly #db: Queryable;
  /** It never changes. */
  #secret: string | undefined;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async idOf(name: { tenant: string; key: string }): Promise<string> {
    this.#secret ??= one(await threadKeySecret(this.#db, undefined));
    if (this.#secret === undefined) throw new Error("holdfast.thread_key_secret is empty");
    return keyedThreadId({ ...name, secret: this.#secret });
  }

  /** The id of a thread that a checked body or query calls by its id or by `key:…`. */
  async idOfCalled(tenant: string, called: string): Promise<string> {
    const key = keyOf(called);
    return typeof key === "string" ? this.idOf({ tenant, key }) : called;
  }

  idsOfCalled(tenant: string, called: readonly string[]): Promise<string[]> {
    return Promise.all(called.map((name) => this.idOfCalled(tenant, name)));
  }
}
