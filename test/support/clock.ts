import type { Queryable } from "../../src/db/query.ts";

/** The database's clock, for one pool: real until it is set, then it stands still until it is set again. */
export class TestClock {
  #now: Date | undefined;
  readonly #told = new WeakMap<object, string>();

  /** Give this to `openDatabase` as `onCheckout`. */
  readonly onCheckout = (client: Queryable): void => {
    const text = this.#now?.toISOString() ?? "";
    if ((this.#told.get(client) ?? "") === text) return;
    this.#told.set(client, text);
    // Queued in front of the statement that the connection was taken for.
    void client.query({ text: "select set_config('holdfast.test_now', $1, false)", values: [text] });
  };

  set(now: Date): void {
    this.#now = now;
  }

  advance(milliseconds: number): void {
    this.#now = new Date((this.#now ?? new Date()).getTime() + milliseconds);
  }
}
