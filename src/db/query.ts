/** Anything that runs a statement: the pool, or the client of a transaction. */
export interface Queryable {
  query(statement: {
    /** Given for a statement that is to be planned once for each connection. */
    name?: string;
    text: string;
    values: unknown[];
  }): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
}

type Row = Record<string, unknown>;

export interface Query<P, R> {
  (db: Queryable, params: P): Promise<R[]>;
  readonly definition: { name: string; text: string };
}

/** A statement is a value: a test prepares every one against the migrated schema. */
export function query<P, R>(definition: {
  name: string;
  text: string;
  values: (params: P) => unknown[];
  row: (raw: Row) => R;
  /** Planned once for each connection. Not for `select *`: a new column would break the plan of a running process. */
  prepared?: true;
}): Query<P, R> {
  const text = `/* ${definition.name} */ ${definition.text.trim()}`;
  const run = async (db: Queryable, params: P): Promise<R[]> => {
    const name = definition.prepared ? { name: definition.name } : {};
    const { rows } = await db.query({ ...name, text, values: definition.values(params) });
    return rows.map(definition.row);
  };
  return Object.assign(run, { definition: { name: definition.name, text } });
}

/** The first row, for statements that return at most one. */
export const one = <R>(rows: R[]): R | undefined => rows[0];
