import type { Cut } from "../domain/parts.ts";

/** About as many bytes, of all threads together. */
const charsMax = 32_000_000;
const threadsMax = 64;
/** Kinds of texts, and channels, of one thread; a state may have any number of channels. */
const kindsMax = 32;

/** What a channel of a namespace holds at a version, of which there is one, as the strict serializer wrote it. */
export interface KnownValue {
  ns: string;
  channel: string;
  version: string;
  text: string;
}

/** Of one thread: how its long texts were cut last, and the long values of its channels. */
export class ThreadTexts {
  readonly threadId: string;
  readonly #cuts = new Map<string, Cut>();
  readonly #values = new Map<string, KnownValue>();
  readonly #onKept: (texts: ThreadTexts) => void;

  constructor(threadId: string, onKept: (texts: ThreadTexts) => void = () => undefined) {
    this.threadId = threadId;
    this.#onKept = onKept;
  }

  cutOf(kind: string): Cut | undefined {
    return this.#cuts.get(kind);
  }

  keepCut(kind: string, cut: Cut): void {
    put(this.#cuts, kind, cut);
    this.#onKept(this);
  }

  valuesOf(ns: string): KnownValue[] {
    return [...this.#values.values()].filter((value) => value.ns === ns);
  }

  /** Of a committed checkpoint. */
  keepValue(value: KnownValue): void {
    put(this.#values, `${value.ns}/${value.channel}`, value);
    this.#onKept(this);
  }

  get chars(): number {
    let chars = 0;
    for (const { text } of [...this.#cuts.values(), ...this.#values.values()]) chars += text.length;
    return chars;
  }
}

function put<T>(into: Map<string, T>, key: string, item: T): void {
  into.delete(key);
  into.set(key, item);
  const [oldest] = into.keys();
  if (into.size > kindsMax && oldest !== undefined) into.delete(oldest);
}

/**
 * Long texts of the threads that this process has worked on lately, so that a turn of a conversation reads and cuts only
 * what is new in it. Another process does the same work without it.
 */
export class TextMemory {
  readonly #threads = new Map<string, ThreadTexts>();

  of(threadId: string): ThreadTexts {
    return this.#threads.get(threadId) ?? new ThreadTexts(threadId, (texts) => this.#kept(texts));
  }

  #kept(texts: ThreadTexts): void {
    this.#threads.delete(texts.threadId);
    this.#threads.set(texts.threadId, texts);
    let chars = 0;
    for (const each of this.#threads.values()) chars += each.chars;
    for (const [oldest, { chars: less }] of this.#threads) {
      if (chars <= charsMax && this.#threads.size <= threadsMax) break;
      this.#threads.delete(oldest);
      chars -= less;
    }
  }
}
