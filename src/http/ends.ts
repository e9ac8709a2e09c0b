import { Lane } from "../db/lane.ts";
import type { Database } from "../db/pool.ts";
import { type RunEnd, type RunName, runEnds } from "../db/queries/run-ends.ts";

const runsPerLookMax = 256;

/** Looks at the runs whose ends somebody waits for, at many in one statement: they often end together. */
export class Ends {
  readonly #lane: Lane<RunName, RunEnd | "gone">;

  constructor(db: Database) {
    const send = async (names: RunName[]): Promise<(RunEnd | "gone")[]> => {
      const found = new Map((await runEnds(db, names)).map((end) => [end.runId, end]));
      return names.map(({ runId }) => found.get(runId) ?? "gone");
    };
    this.#lane = new Lane({ fits: roomForLooks, send });
  }

  look(name: RunName): Promise<RunEnd | "gone"> {
    return this.#lane.join(name);
  }
}

function roomForLooks(): () => boolean {
  let room = runsPerLookMax;
  return () => room-- > 0;
}
