// The pool: this room is the only one that knows pg. It gives connections that cannot kill the process and
// queries that cannot wait for ever. It must not know any table. Read next: query.ts, queries/.
import pg from "pg";
import { isDatabaseFault } from "../domain/classify.ts";
import { DatabaseAway } from "../domain/errors.ts";
import type { Queryable } from "./query.ts";
import { inTransaction } from "./transaction.ts";

/** Without an answer for this long a connection counts as half-open and is closed. */
const queryMillisMax = 12_000;
const connectMillisMax = 5_000;
const idleMillisMax = 30_000;
const idleInTransactionMillisMax = 15_000;

export interface DatabaseOptions {
  url: string;
  connectionsMax: number;
  applicationName?: string;
  /** False behind a transaction pooler, where a connection is another one each time. */
  prepared?: boolean;
  /** Tests set the database's clock with it. */
  onCheckout?: (client: Queryable) => void;
}

export interface Database extends Queryable {
  /**
   * Runs `work` in one transaction; any throw rolls back. The connection is dropped when that fails too. Statements go
   * out in the order in which `work` asks for them: those it does not wait for in between share a round trip.
   */
  transaction<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
  /** A connection of its own for LISTEN; `patient` for migrations, which may wait and work for long. */
  dedicated(options?: { patient: boolean }): Promise<pg.Client>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

// int8 as number: our sequences and epochs stay far below 2^53.
const int8Oid = 20;
const types = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    return oid === int8Oid ? (value: string) => Number(value) : pg.types.getTypeParser(oid, format as "text");
  },
};

export function openDatabase(options: DatabaseOptions): Database {
  const connection = {
    connectionString: options.url,
    application_name: options.applicationName ?? "holdfast",
    connectionTimeoutMillis: connectMillisMax,
    query_timeout: queryMillisMax,
    statement_timeout: queryMillisMax,
    idle_in_transaction_session_timeout: idleInTransactionMillisMax,
    keepAlive: true,
    types: types as pg.CustomTypesConfig,
  };
  const planned = options.prepared ?? true;
  const pool = new pg.Pool({
    ...connection,
    max: options.connectionsMax,
    idleTimeoutMillis: idleMillisMax,
    // Behind a pooler each statement waits for the one before it, as poolers know it.
    pipeline: planned,
  });
  // A cut connection raises 'error' on the client that is checked out, not on the pool:
  // without this listener the whole process dies, and every run in it.
  pool.on("connect", (client) => client.on("error", ignore));
  pool.on("error", ignore);
  const { onCheckout } = options;
  if (onCheckout !== undefined) pool.on("acquire", (client) => onCheckout(client));
  return {
    pool,
    query: (statement) => pool.query(planned ? statement : unnamed(statement)).catch(named),
    transaction: (work) => onOneConnection(pool, { pipelined: planned }, work),
    dedicated: async ({ patient } = { patient: false }) => {
      const limits = patient ? { statement_timeout: 0, query_timeout: 0 } : {};
      const client = new pg.Client({ ...connection, ...limits });
      client.on("error", ignore);
      await client.connect();
      return client;
    },
    close: () => pool.end(),
  };
}

const unnamed = ({ text, values }: { text: string; values: unknown[] }) => ({ text, values });

async function onOneConnection<T>(
  pool: pg.Pool,
  { pipelined }: { pipelined: boolean },
  work: (client: Queryable) => Promise<T>,
): Promise<T> {
  const client = await pool.connect().catch(named);
  let failure: Error | undefined;
  try {
    return await inTransaction(client, { pipelined }, work);
  } catch (error) {
    await client.query("rollback").catch((fault: Error) => {
      failure = fault;
    });
    return named(error);
  } finally {
    client.release(failure);
  }
}

/** A fault of our Postgres and one of a model or of a graph's own database look alike by then: the name tells. */
function named(error: unknown): never {
  if (isDatabaseFault(error)) {
    throw new DatabaseAway(`Postgres: ${(error as Error).message}`, { cause: error });
  }
  throw error;
}

// The query that was under way is rejected with the same error; nothing is swallowed here.
const ignore = (): void => undefined;
