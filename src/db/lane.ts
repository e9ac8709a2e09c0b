import { DatabaseAway } from "../domain/errors.ts";

/** Says for one item after the other, in the order in which they came, whether it fits into the group. The first always must. */
export type Fits<Item> = (item: Item) => boolean;

interface Options<Item, Answer> {
  /** Called once for each group. */
  fits: () => Fits<Item>;
  /** One answer for each, in their order. Rejects when none of them was done. */
  send: (items: Item[]) => Promise<Answer[]>;
}

interface Waiting<Item, Answer> {
  item: Item;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/** What comes while a group is under way travels in the next one. One group at a time: alone, nobody waits. */
export class Lane<Item, Answer> {
  readonly #options: Options<Item, Answer>;
  #waiting: Waiting<Item, Answer>[] = [];
  #busy = false;

  constructor(options: Options<Item, Answer>) {
    this.#options = options;
  }

  join(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // What others ask for in this moment comes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#send(this.#nextGroup());
    this.#busy = false;
  }

  async #send(group: Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.send(group.map(({ item }) => item));
      group.forEach(({ resolve, reject }, n) => {
        const answer = answers[n];
        if (answer === undefined) reject(new Error("a group has given too few answers"));
        else resolve(answer);
      });
    } catch (error) {
      // One value that Postgres refuses must fail its own caller only. A database that is away fails them all.
      if (group.length === 1 || error instanceof DatabaseAway) for (const { reject } of group) reject(error);
      else for (const waiting of group) await this.#send([waiting]);
    }
  }

  #nextGroup(): Waiting<Item, Answer>[] {
    const fits = this.#options.fits();
    const group: Waiting<Item, Answer>[] = [];
    const rest: Waiting<Item, Answer>[] = [];
    for (const each of this.#waiting) (fits(each.item) ? group : rest).push(each);
    this.#waiting = rest;
    return group;
  }
}
