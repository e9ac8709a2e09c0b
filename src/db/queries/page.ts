// A page of a search, in one statement: its rows, how many there are in all, and how large it is.

/** What is wanted of the rows found. */
export interface Page<Sort extends string = string> {
  sortBy: Sort;
  descending: boolean;
  limit: number;
  offset: number;
  /** Of the rows' JSON, together; a larger page has no rows. Null: as large as it gets. */
  bytesMax: number | null;
}

/** A row of a page; null, and the only one, where the page is empty or larger than allowed. */
export interface Found<T> {
  item: T | null;
  total: number;
  bytes: number;
}

interface Source<Sort extends string> {
  /** What stands behind `from`, conditions included. */
  from: string;
  sortColumns: readonly Sort[];
  /** Orders rows that are equal otherwise. */
  id: Sort;
  /** What is shown of the page `p`; its columns, unless said. */
  shown?: string;
  /** The columns that may be large. */
  sized: readonly string[];
  /** Such columns whose texts may be kept in parts. */
  inParts?: readonly string[];
  /** Number of the first parameter of `pageValues`. */
  first: number;
}

export function pageText<Sort extends string>(source: Source<Sort>): string {
  const { from, sortColumns, id, shown = "p.*", sized, inParts = [], first } = source;
  const [sortBy, descending, limit, offset, bytesMax] = [0, 1, 2, 3, 4].map((n) => `$${first + n}`);
  const sorts = sortColumns.map((column) => {
    const chosen = `${sortBy} = '${column}' and`;
    return `case when ${chosen} ${descending} then ${column} end desc, case when ${chosen} not ${descending} then ${column} end`;
  });
  const order = [...sorts, id].join(",\n  ");
  const bytes = [
    ...sized.map((column) => `coalesce(octet_length(${column}::text), 0)`),
    ...inParts.map((column) => `coalesce(holdfast.whole_bytes(${column}), 0)`),
  ].join(" + ");
  return `
with page as materialized (
  select *, count(*) over () as total from ${from} order by ${order} limit ${limit} offset ${offset}
), size as materialized (
  select coalesce(sum(${bytes}), 0)::bigint as bytes from page
)
select ${shown}, p.total, s.bytes from size s left join page p on ${bytesMax}::bigint is null or s.bytes <= ${bytesMax}
 order by ${order}`;
}

export const pageValues = (p: Page): unknown[] => [p.sortBy, p.descending, p.limit, p.offset, p.bytesMax];

export const asFound =
  <T>(id: string, asItem: (raw: Record<string, unknown>) => T) =>
  ({ total, bytes, ...raw }: Record<string, unknown>): Found<T> => ({
    item: raw[id] === null ? null : asItem(raw),
    total: Number(total ?? 0),
    bytes: Number(bytes),
  });
