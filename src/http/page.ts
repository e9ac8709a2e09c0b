// How a search answers: a page, its place among all that were found, and the fields that were asked for.
import type { Found } from "../db/queries/page.ts";
import { InvalidInput } from "../domain/errors.ts";
import { pageBytesMax, pageSizeDefault } from "./schemas/common.ts";

interface Place {
  limit: number;
  offset: number;
}
interface Asked extends Place {
  sort_order?: "asc" | "desc" | null | undefined;
}

/** Of the search's statement. A thousand rows of a megabyte each would hold up whoever else this process serves. */
export function pageOf({ limit, offset, sort_order }: Asked) {
  const bytesMax = limit > pageSizeDefault ? pageBytesMax : null;
  return { descending: sort_order !== "asc", limit, offset, bytesMax };
}

/** The rows of a page, and the headers that tell its place. Throws InvalidInput when it is too large to be sent. */
export async function answerOf<T>(
  found: readonly Found<T>[],
  { limit, offset, count }: Place & { count: () => Promise<number[]> },
): Promise<{ items: T[]; headers: Record<string, string> }> {
  const items = found.flatMap(({ item }) => (item === null ? [] : [item]));
  const [first] = found;
  if (first?.item === null && first.bytes > 0)
    throw new InvalidInput(
      `limit: these have ${first.bytes} bytes, a page may have ${pageBytesMax}: ask for fewer at a time`,
      { field: "limit" },
    );
  // Each row tells how many there are in all; a page behind the end has none, so there they are counted.
  const counted = items.length === 0 && offset > 0 ? (await count())[0] : first?.total;
  const [total, next] = [counted ?? 0, offset + limit];
  const headers = {
    "x-pagination-total": String(total),
    ...(next < total ? { "x-pagination-next": String(next) } : {}),
  };
  return { items, headers };
}

/** Only the fields that a search asked for; the id always comes along. */
export function selected(
  item: Record<string, unknown>,
  { select, idField }: { select: readonly string[] | null | undefined; idField: string },
): Record<string, unknown> {
  if (select === null || select === undefined || select.length === 0) return item;
  return Object.fromEntries(Object.entries(item).filter(([key]) => key === idField || select.includes(key)));
}
