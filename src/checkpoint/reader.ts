import type { RunnableConfig } from "@langchain/core/runnables";
import type {
  CheckpointListOptions,
  CheckpointMetadata,
  CheckpointTuple,
  SerializerProtocol,
} from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import type { Database } from "../db/pool.ts";
import * as reads from "../db/queries/checkpoint-reads.ts";
import { ownType } from "../db/queries/parts.ts";
import { one, type Queryable } from "../db/query.ts";
import { strictSerializer } from "./serializer.ts";
import type { KnownValue, ThreadTexts } from "./text-memory.ts";
import { nextVersion, withOurVersions } from "./versions.ts";

const listMax = 1_000;
const nothingGiven: ReadonlyMap<string, unknown> = new Map();

export interface ReadingOptions {
  db: Database;
  /** Statements run here; the transaction of an API write, else the pool. */
  on?: Queryable;
  serializer?: SerializerProtocol;
  /** Long values of one thread that need not be read again. */
  texts?: ThreadTexts | undefined;
}

export interface Wanted {
  threadId: string;
  ns: string;
  checkpointId?: string | undefined;
}

/** PostgresSaver's tables, read in the order of our own seq, one statement each; also threads that it wrote itself. */
export class ReadingSaver extends PostgresSaver {
  protected readonly on: Queryable;
  readonly #texts: ThreadTexts | undefined;

  constructor({ db, on, serializer, texts }: ReadingOptions) {
    super(db.pool, serializer ?? strictSerializer);
    this.on = on ?? db;
    this.#texts = texts;
  }

  // The stock loader takes any version; in text form "10" would sort before "9".
  override getNextVersion(current: number | string | undefined): number {
    return nextVersion(current) as unknown as number;
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const {
      thread_id: threadId,
      checkpoint_ns: ns = "",
      checkpoint_id: checkpointId,
    } = config.configurable ?? {};
    if (typeof threadId !== "string") return undefined;
    const row = await this.read({ threadId, ns, checkpointId });
    return row === undefined ? undefined : this.#tuple(row);
  }

  /** The named checkpoint, or the latest, in stored form. */
  protected async read({ threadId, ns, checkpointId }: Wanted): Promise<reads.CheckpointRow | undefined> {
    const texts = this.#texts?.threadId === threadId ? this.#texts : undefined;
    const known = texts?.valuesOf(ns) ?? [];
    const found = await reads.getCheckpoint(this.on, {
      threadId,
      ns,
      checkpointId: checkpointId ?? null,
      known: known.map(({ channel, version }) => `${channel} ${version}`),
    });
    const row = one(found);
    if (row === undefined) return undefined;
    if (texts !== undefined) rememberValues(row, texts);
    return withKnown(row, known);
  }

  /** Values of channels that need not be loaded. */
  protected asGiven(_row?: reads.CheckpointRow): ReadonlyMap<string, unknown> {
    return nothingGiven;
  }

  override async *list(
    config: RunnableConfig,
    options?: CheckpointListOptions,
  ): AsyncGenerator<CheckpointTuple> {
    const { limit, before, filter } = options ?? {};
    const { thread_id, checkpoint_ns, checkpoint_id } = config.configurable ?? {};
    const rows = await reads.listCheckpoints(this.on, {
      threadId: thread_id ?? null,
      ns: checkpoint_ns ?? null,
      checkpointId: checkpoint_id ?? null,
      metadata: filter === undefined ? null : JSON.stringify(filter),
      beforeId: before?.configurable?.checkpoint_id ?? null,
      limit: Math.min(limit ?? listMax, listMax),
    });
    for (const row of rows) yield await this.#tuple(row);
  }

  // Metadata stays plain JSON: it is searched by containment, also when an encrypting serializer is used.
  protected override async _dumpMetadata(metadata: CheckpointMetadata): Promise<unknown> {
    return JSON.parse(JSON.stringify(metadata));
  }
  protected override async _loadMetadata(metadata: Record<string, unknown>): Promise<CheckpointMetadata> {
    return metadata as unknown as CheckpointMetadata;
  }

  async #tuple(row: reads.CheckpointRow): Promise<CheckpointTuple> {
    const { thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id } = row;
    if (row.checkpoint.v < 4 && parent_checkpoint_id !== null) {
      const sends = one(
        await reads.parentSends(this.on, { threadId: thread_id, parentId: parent_checkpoint_id }),
      );
      if (sends !== undefined && sends.length > 0) await this._migratePendingSends(sends, row as never);
    }
    const given = this.asGiven(row);
    const toLoad = (row.channel_values ?? []).filter(([channel]) => !given.has(channel.toString()));
    const stored = await this._loadCheckpoint(row.checkpoint as never, toLoad as never);
    for (const [channel, value] of given) stored.channel_values[channel] = value;
    const parent = { thread_id, checkpoint_ns, checkpoint_id: parent_checkpoint_id };
    const tuple: CheckpointTuple = {
      config: { configurable: { thread_id, checkpoint_ns, checkpoint_id } },
      checkpoint: row.epoch === null ? withOurVersions(stored) : stored,
      metadata: row.metadata as CheckpointMetadata,
      pendingWrites: await this._loadWrites((row.pending_writes ?? []) as never),
    };
    if (parent_checkpoint_id !== null) tuple.parentConfig = { configurable: parent };
    return tuple;
  }
}

/** The values that were left out because they are known. */
function withKnown(row: reads.CheckpointRow, known: readonly KnownValue[]): reads.CheckpointRow {
  const { channel_versions: versions } = row.checkpoint;
  const here = known.filter(({ channel, version }) => String(versions[channel]) === version);
  if (here.length === 0) return row;
  const values = here.map(({ channel, text }): reads.CheckpointRow["channel_values"][number] => [
    Buffer.from(channel),
    Buffer.from(ownType),
    text,
  ]);
  return { ...row, channel_values: [...row.channel_values, ...values] };
}

function rememberValues(row: reads.CheckpointRow, texts: ThreadTexts): void {
  for (const [name, , text] of row.channel_values) {
    const channel = name.toString();
    const version = String(row.checkpoint.channel_versions[channel]);
    if (typeof text === "string") texts.keepValue({ ns: row.checkpoint_ns, channel, version, text });
  }
}
