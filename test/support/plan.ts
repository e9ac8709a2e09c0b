import type { Queryable } from "../../src/db/query.ts";

/** The plan of a statement as JSON text; the statement is run. */
export async function planOf(db: Queryable, text: string, values: unknown[]): Promise<string> {
  const { rows } = await db.query({ text: `explain (analyze, buffers, format json) ${text}`, values });
  return JSON.stringify(rows[0]?.["QUERY PLAN"]);
}

/** Pages that the whole statement looked at. */
export function blocksRead(plan: string): number {
  const [top] = JSON.parse(plan) as { Plan: { "Shared Hit Blocks": number; "Shared Read Blocks": number } }[];
  if (top === undefined) throw new Error("there is no plan");
  return top.Plan["Shared Hit Blocks"] + top.Plan["Shared Read Blocks"];
}
