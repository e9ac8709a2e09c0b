import type { AccessFilter } from "../../domain/access.ts";

/** For rows that belong to a thread: whether the caller may see it. */
export const ofVisibleThread = (table: string, access: string): string => `
   (${access}::jsonb is null or exists (
     select 1 from holdfast.threads visible where visible.thread_id = ${table}.thread_id and visible.metadata @> ${access}::jsonb))`;

export const accessValue = ({ access }: { access: AccessFilter | null }): string | null =>
  access === null ? null : JSON.stringify(access);
