import type { RunnableConfig } from "@langchain/core/runnables";
import type {
  ChannelVersions,
  Checkpoint,
  CheckpointListOptions,
  CheckpointMetadata,
  PendingWrite,
} from "@langchain/langgraph-checkpoint";
import { validate } from "@langchain/langgraph-checkpoint-validation";
import { v5, validate as validateUuid } from "uuid";
import * as vitest from "vitest";
import { FencedSaver } from "../../src/checkpoint/saver.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { makeRun } from "../support/factory.ts";

/** The suite writes to threads of its own naming; each gets a running run first, and its saver that run's lease. */
class AnyThreadSaver extends FencedSaver {
  readonly #db: Database;
  readonly #savers = new Map<string, Promise<FencedSaver>>();
  constructor(db: Database) {
    super({ db, holder: { kind: "reader" } });
    this.#db = db;
  }
  #saverOf(config: RunnableConfig): Promise<FencedSaver> {
    const threadId = uuidOf(config.configurable?.thread_id);
    const known = this.#savers.get(threadId) ?? this.#lease(threadId);
    this.#savers.set(threadId, known);
    return known;
  }
  async #lease(threadId: string): Promise<FencedSaver> {
    const run = await makeRun(this.#db, "running", { threadId });
    return new FencedSaver({
      db: this.#db,
      holder: { kind: "run", runId: run.run_id, threadId, epoch: run.epoch },
    });
  }
  override getTuple(config: RunnableConfig) {
    return super.getTuple(byUuid(config));
  }
  override list(config: RunnableConfig, options?: CheckpointListOptions) {
    return super.list(byUuid(config), options);
  }
  override deleteThread(threadId: string): Promise<void> {
    return super.deleteThread(uuidOf(threadId));
  }
  override async put(
    c: RunnableConfig,
    k: Checkpoint,
    m: CheckpointMetadata,
    v: ChannelVersions,
  ): Promise<RunnableConfig> {
    const written = await (await this.#saverOf(c)).put(byUuid(c), k, m, v);
    return { configurable: { ...written.configurable, thread_id: c.configurable?.thread_id } };
  }
  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    await (await this.#saverOf(config)).putWrites(byUuid(config), writes, taskId);
  }
}

// Our threads have uuids; a few of the suite's are called "1".
const uuidOf = (threadId: string): string => (validateUuid(threadId) ? threadId : v5(threadId, v5.URL));
const isNamed = (config: RunnableConfig): boolean => config.configurable?.thread_id !== undefined;
const byUuid = (config: RunnableConfig): RunnableConfig =>
  isNamed(config)
    ? {
        ...config,
        configurable: { ...config.configurable, thread_id: uuidOf(config.configurable?.thread_id) },
      }
    : config;

let test: TestDatabase;
let db: Database;

// The suite expects its runner's functions as globals.
Object.assign(globalThis, vitest);

validate({
  checkpointerName: "FencedSaver",
  beforeAll: async () => {
    test = await createTestDatabase();
    db = openDatabase({ url: test.url, connectionsMax: 4 });
  },
  afterAll: async () => {
    await db.close();
    await test.drop();
  },
  createCheckpointer: async () => {
    await db.query({
      text: "truncate public.checkpoints, public.checkpoint_blobs, public.checkpoint_writes, holdfast.threads cascade",
      values: [],
    });
    return new AnyThreadSaver(db);
  },
});
