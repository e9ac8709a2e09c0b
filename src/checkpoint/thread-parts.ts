import { storedParts } from "../db/queries/parts.ts";
import type { Queryable } from "../db/query.ts";
import {
  type Cut,
  cutText,
  type Manifest,
  manifestOf,
  type Part,
  partsBeyond,
  type Sending,
  type ThreadParts,
  wholeCharsMax,
} from "../domain/parts.ts";
import { ThreadTexts } from "./text-memory.ts";

/** So much is sent without asking whether it is stored already: a round trip costs more. */
const sentUnaskedCharsMax = 16_384;
const knownMax = 100_000;

interface Options {
  on: Queryable;
  threadId: string;
  /** Whether nobody has ever written to the thread. */
  newThread?: boolean;
  /** What is remembered of the thread. */
  texts?: ThreadTexts;
  /** Repeats a statement while the database is away. */
  read?: <T>(statement: () => Promise<T>) => Promise<T>;
}

/**
 * The parts of a thread as one attempt, or one API write, gets to know them. What it knows to be stored stays so: parts
 * are only removed under the thread's lock while no run of it is open.
 */
export class KnownParts implements ThreadParts {
  readonly #options: Options;
  readonly #known = new Set<string>();
  readonly texts: ThreadTexts;

  constructor(options: Options) {
    this.#options = options;
    this.texts = options.texts ?? new ThreadTexts(options.threadId);
  }

  /** `before` travels in the same statement: its parts are not sent twice. */
  open(before?: Sending): Sending {
    const parts: Part[] = [];
    const taken = new Set<string>(before?.parts.map(({ hash }) => hash));
    return {
      parts,
      cut: async (kind, text) => {
        if (text.length < wholeCharsMax) return text;
        const manifest = manifestOf(this.#cut(kind, text));
        for (const part of await this.#unknown(manifest, taken)) {
          taken.add(part.hash);
          parts.push(part);
        }
        return manifest.text;
      },
      committed: () => {
        if (this.#known.size > knownMax) this.#known.clear();
        for (const hash of taken) this.#known.add(hash);
      },
    };
  }

  #cut(kind: string, text: string): Cut {
    const cut = cutText(text, this.texts.cutOf(kind));
    this.texts.keepCut(kind, cut);
    return cut;
  }

  async #unknown(manifest: Manifest, taken: ReadonlySet<string>): Promise<Part[]> {
    const known = (hash: string): boolean => this.#known.has(hash) || taken.has(hash);
    const unasked: Part[] = [];
    let chars = 0;
    for (const part of partsBeyond(manifest, known)) {
      chars += part.data.length;
      if (!this.#options.newThread && chars > sentUnaskedCharsMax) {
        await this.#ask(manifest, known);
        return [...partsBeyond(manifest, known)];
      }
      unasked.push(part);
    }
    return unasked;
  }

  /** From the top: what is stored has all below it. */
  async #ask({ refs, children }: Manifest, known: (hash: string) => boolean): Promise<void> {
    const { on, threadId, read = (statement) => statement() } = this.#options;
    let open = refs.filter((hash) => !known(hash));
    while (open.length > 0) {
      const hashes = open;
      for (const hash of await read(() => storedParts(on, { threadId, hashes }))) this.#known.add(hash);
      open = hashes.filter((hash) => !known(hash)).flatMap((hash) => children.get(hash) ?? []);
    }
  }
}
