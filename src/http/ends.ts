import { Lane } from "../db/lane.ts";
import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { runEnds } from "../db/queries/run-ends.ts";
import type { RunEnd, RunName, ToldEnd } from "../domain/run-end.ts";

const runsPerLookMax = 256;

/** Somebody who waits for a run's end. */
export interface Listening {
  /** How the run has ended, where a worker of this process has told. */
  readonly end: RunEnd | undefined;
  close(): void;
}

/** Looks at the runs whose ends somebody waits for, at many in one statement: they often end together. */
export class Ends {
  readonly #lane: Lane<RunName, RunEnd | "gone">;
  readonly #listening = new Map<string, Set<(end: ToldEnd) => void>>();

  constructor({ db, bus }: { db: Database; bus: Bus }) {
    bus.subscribe("run", (id, end) => {
      if (end !== undefined) for (const tell of this.#listening.get(id) ?? []) tell(end);
    });
    const send = async (names: RunName[]): Promise<(RunEnd | "gone")[]> => {
      const found = new Map((await runEnds(db, names)).map((end) => [end.runId, end]));
      return names.map(({ runId }) => found.get(runId) ?? "gone");
    };
    this.#lane = new Lane({ fits: roomForLooks, send });
  }

  look(name: RunName): Promise<RunEnd | "gone"> {
    return this.#lane.join(name);
  }

  /** From now on. Listen before the wake, so that who is woken by an end can have it. */
  listen({ runId, threadId, tenant }: RunName): Listening {
    let told: RunEnd | undefined;
    const tell = (end: ToldEnd): void => {
      if (end.threadId === threadId && end.tenant === tenant) told = end;
    };
    const listening = this.#listening.get(runId) ?? new Set();
    this.#listening.set(runId, listening.add(tell));
    const close = (): void => {
      listening.delete(tell);
      if (listening.size === 0 && this.#listening.get(runId) === listening) this.#listening.delete(runId);
    };
    return {
      get end() {
        return told;
      },
      close,
    };
  }
}

function roomForLooks(): () => boolean {
  let room = runsPerLookMax;
  return () => room-- > 0;
}
