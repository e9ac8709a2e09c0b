import type pg from "pg";
import type { Queryable } from "./query.ts";

type Send = Queryable["query"];

/**
 * Runs `work` between `begin` and `commit`; any throw of it rolls back. Nothing is sent once the transaction is over: what
 * a part of `work` asks for after another part has failed would be a transaction of its own. Rejects as well when
 * Postgres rolled back at the commit, because `work` overlooked that a statement of it had failed, and as soon as the
 * session is gone, whatever `work` waits for then.
 */
export async function inTransaction<T>(
  client: pg.PoolClient,
  { pipelined }: { pipelined: boolean },
  work: (tx: Queryable) => Promise<T>,
): Promise<T> {
  let over = false;
  const send = (pipelined ? inOneTurn : oneByOne)(client, () => over);
  // Refused only where the connection is gone, and then what is sent behind it is as well.
  const begun = send({ text: "begin", values: [] });
  const working = (async () => work({ query: send }))();
  const session = watched(client);
  const [, result] = await Promise.race([Promise.all([begun, working]), session.gone]).finally(() => {
    over = true;
    session.unwatch();
  });
  const { command } = await client.query("commit");
  if (command !== "COMMIT") throw new Error("the transaction was rolled back: a statement of it had failed");
  return result;
}

/** A session that Postgres ends while no statement is under way tells nobody else. */
function watched(client: pg.PoolClient): { gone: Promise<never>; unwatch: () => void } {
  let unwatch = (): void => undefined;
  const gone = new Promise<never>((_, reject) => {
    client.once("error", reject);
    unwatch = () => client.off("error", reject);
  });
  return { gone, unwatch };
}

const refusal = (): Promise<never> => Promise.reject(new Error("the transaction is over"));

/** What is asked for in one turn of the loop is one write to the socket; Postgres works on it in order. */
function inOneTurn(client: pg.PoolClient, isOver: () => boolean): Send {
  const { stream } = client.connection;
  let corked = false;
  return (statement) => {
    if (isOver()) return refusal();
    if (!corked) {
      corked = true;
      stream.cork();
      queueMicrotask(() => {
        corked = false;
        stream.uncork();
      });
    }
    return client.query(statement);
  };
}

/** Each waits for the one before it, and fails with it. */
function oneByOne(client: pg.PoolClient, isOver: () => boolean): Send {
  let last: Promise<unknown> = Promise.resolve();
  return ({ text, values }) => {
    const answer = last.then(() => (isOver() ? refusal() : client.query({ text, values })));
    last = answer;
    return answer;
  };
}
