import type { Database } from "../../src/db/pool.ts";

/** How often each named statement was sent through the pool, outside transactions, since it was asked to count. */
export function countingStatements(db: Database): { counts: Map<string, number>; stop: () => void } {
  const { query } = db;
  const counts = new Map<string, number>();
  db.query = (statement) => {
    const name = /^\/\* (\S+) \*\//.exec(statement.text)?.[1] ?? statement.text;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return query(statement);
  };
  return {
    counts,
    stop: () => {
      db.query = query;
    },
  };
}
