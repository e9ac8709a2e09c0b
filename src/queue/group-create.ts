import { Lane } from "../db/lane.ts";
import type { Database } from "../db/pool.ts";
import { insertRunsOnNewThreads, type NewThreadRun } from "../db/queries/create-group.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { DatabaseAway } from "../domain/errors.ts";
import { newId } from "../domain/ids.ts";
import { failpoint } from "../observe/failpoint.ts";
import { type Accepted, createRun } from "./create.ts";
import type { CreateRun } from "./request.ts";
import { roomForTravellers, travellerBytesMax } from "./travellers.ts";

interface Plain extends NewThreadRun {
  bytes: number;
}

/**
 * Accepts the runs that this process is asked for. Those that bring a thread of their own travel together, in one statement
 * for all that wait while the one before is under way; each is answered after its own commit.
 */
export class GroupCreate {
  readonly #db: Database;
  readonly #lane: Lane<Plain, RunRow | "alone">;

  constructor(db: Database) {
    this.#db = db;
    this.#lane = new Lane<Plain, RunRow | "alone">({
      fits: roomForTravellers,
      send: (group) => this.#send(group),
    });
  }

  /** Throws what `createRun` throws. */
  async create(request: CreateRun): Promise<Accepted> {
    const plain = plainOf(request);
    if (plain === undefined) return createRun(this.#db, request);
    await failpoint("run.before_commit");
    const run = await this.#lane.join(plain);
    if (run === "alone") return createRun(this.#db, request);
    await failpoint("run.accepted");
    return { run, replayed: false };
  }

  /** For each its run; the others go alone, and learn there what is the matter with them. */
  async #send(group: Plain[]): Promise<(RunRow | "alone")[]> {
    try {
      const runs = await insertRunsOnNewThreads(this.#db, group);
      const made = new Map(runs.map((run) => [run.run_id, run]));
      return group.map(({ runId }) => made.get(runId) ?? "alone");
    } catch (error) {
      if (error instanceof DatabaseAway) throw error;
      return group.map(() => "alone");
    }
  }
}

/** A thread of that id may exist all the same; the statement finds out. */
function plainOf(request: CreateRun): Plain | undefined {
  const { createThread, idempotencyKey, redriveOf, temporary, threadMetadata = {} } = request;
  const resume = request.kwargs.command?.resume ?? null;
  if (!createThread || idempotencyKey !== null || redriveOf !== null || resume !== null) return;
  const json = {
    kwargs: JSON.stringify(request.kwargs),
    metadata: JSON.stringify(request.metadata),
    threadMetadata: JSON.stringify(threadMetadata),
    threadConfig: request.threadConfig === null ? null : JSON.stringify(request.threadConfig),
  };
  const bytes = Object.values(json).reduce((sum, text) => sum + (text?.length ?? 0), 0);
  if (bytes > travellerBytesMax) return;
  const ttl = temporary ? null : (request.threadTtl ?? null);
  return { ...request, ...json, runId: newId(), ttl, key: request.threadKey, bytes };
}
