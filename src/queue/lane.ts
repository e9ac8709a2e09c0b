const itemsPerGroupMax = 64;
const bytesPerGroupMax = 1_000_000;
/** A larger item goes alone: others would wait for it, and in an array it costs more. */
export const travellerBytesMax = 250_000;

/** Rejects when none of them was done. One answer for each, in their order. */
type Send<Item, Answer> = (items: Item[]) => Promise<Answer[]>;

/** Two of one thread never travel together; `bytes` is about what one weighs. */
interface Weighed {
  threadId: string;
  bytes: number;
}

interface Waiting<Item, Answer> {
  item: Item;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/** What comes while a group is under way travels in the next one. One group at a time: alone, nobody waits. */
export class Lane<Item extends Weighed, Answer> {
  readonly #sendGroup: Send<Item, Answer>;
  #waiting: Waiting<Item, Answer>[] = [];
  #busy = false;

  constructor(send: Send<Item, Answer>) {
    this.#sendGroup = send;
  }

  join(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // What others ask for in this turn of the loop comes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#send(this.#nextGroup());
    this.#busy = false;
  }

  async #send(group: Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#sendGroup(group.map(({ item }) => item));
      group.forEach(({ resolve, reject }, n) => {
        const answer = answers[n];
        if (answer === undefined) reject(new Error("a group has given too few answers"));
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  /** As many as fit, in the order in which they came. */
  #nextGroup(): Waiting<Item, Answer>[] {
    const threads = new Set<string>();
    let bytes = 0;
    const group: Waiting<Item, Answer>[] = [];
    const rest: Waiting<Item, Answer>[] = [];
    for (const each of this.#waiting) {
      const { threadId, bytes: own } = each.item;
      const full = group.length >= itemsPerGroupMax || (group.length > 0 && bytes + own > bytesPerGroupMax);
      if (full || threads.has(threadId)) rest.push(each);
      else {
        threads.add(threadId);
        bytes += own;
        group.push(each);
      }
    }
    this.#waiting = rest;
    return group;
  }
}
