import type { Queryable } from "../../src/db/query.ts";
import type { EffectLine } from "./effect-log.ts";
import { wrongResults } from "./effect-results.ts";

interface Invariant {
  name: string;
  /** Returns the rows that break it. */
  text: string;
}

/** By query, over everything in the database, once all runs have ended. */
const invariants: readonly Invariant[] = [
  {
    name: "I2: runs that ended more than once",
    text: `select run_id from holdfast.run_attempts where outcome in ('success', 'dead', 'cancelled', 'compensated')
            group by run_id having count(*) > 1`,
  },
  {
    name: "I3: runs that are stuck",
    text: "select run_id, status from holdfast.runs where status in ('queued', 'running', 'blocked')",
  },
  {
    name: "I4: checkpoints written by a holder after its successor",
    text: `select thread_id, seq, epoch, before from (
             select thread_id, seq, epoch, lag(epoch) over (partition by thread_id order by seq) as before
               from public.checkpoints) c
            where epoch < before`,
  },
  {
    name: "I5: checkpoints whose parent is not the head before them",
    text: `select thread_id, checkpoint_id from (
             select thread_id, checkpoint_id, parent_checkpoint_id, seq,
                    lag(checkpoint_id) over (partition by thread_id, checkpoint_ns order by seq) as head
               from public.checkpoints where checkpoint_ns = '') c
            where parent_checkpoint_id is distinct from head`,
  },
  {
    name: "I5: threads with more than one head",
    text: `select thread_id, count(*) as heads from public.checkpoints c where checkpoint_ns = ''
              and not exists (select 1 from public.checkpoints d where d.thread_id = c.thread_id
                               and d.checkpoint_ns = '' and d.parent_checkpoint_id = c.checkpoint_id)
            group by thread_id having count(*) <> 1`,
  },
  {
    name: "I8: effects left dispatched or unknown by a run that ended well",
    text: `select e.run_id, e.tool, e.state, e.key from holdfast.effects e join holdfast.runs r using (run_id)
            where r.status = 'success' and e.state in ('prepared', 'dispatched', 'unknown')`,
  },
  {
    name: "I10: streams with a gap",
    text: `select run_id from holdfast.run_events group by run_id
            having max(seq) + 1 <> count(*) or min(seq) <> 0`,
  },
];

const rowsShownMax = 5;

/** One sentence for each invariant that is broken, with the first rows. `acknowledged` are the ids that got a 2xx. */
export async function violations(db: Queryable, acknowledged: readonly string[]): Promise<string[]> {
  const broken: string[] = [];
  const look = async (name: string, text: string, values: unknown[] = []): Promise<void> => {
    const { rows } = await db.query({ text, values });
    const shown = rows.slice(0, rowsShownMax).map((row) => JSON.stringify(row));
    if (rows.length > 0) broken.push(`${name}: ${rows.length}: ${shown.join(" ")}`);
  };
  await look(
    "I1: accepted runs that are lost or not at their end",
    `select id from unnest($1::uuid[]) id
      where not exists (select 1 from holdfast.runs r where r.run_id = id and r.finished_at is not null)`,
    [acknowledged],
  );
  for (const { name, text } of invariants) await look(name, text);
  return broken;
}

/** I4 and I5 are about threads that nobody forks, copies or writes to by hand; I1 about runs that nobody deletes. */
export async function clientViolations(db: Queryable): Promise<string[]> {
  const found = await violations(db, []);
  return found.filter((sentence) => !/^I[45]:/.test(sentence));
}

export async function checkInvariants(db: Queryable, acknowledged: readonly string[]): Promise<void> {
  throwAny(await violations(db, acknowledged));
}

/** I7: the results that the graphs hold, the ledger's and the sink's are the same ones. */
export async function resultViolations(db: Queryable, log: readonly EffectLine[]): Promise<string[]> {
  const { rows: ledger } = await db.query({
    text: `select e.thread_id, e.tool, e.result, r.status as run_status from holdfast.effects e
             join holdfast.runs r using (run_id) where e.compensates is null
              and r.finished_at is not null and e.state in ('succeeded', 'reconciled_done', 'compensated')`,
    values: [],
  });
  const { rows: threads } = await db.query({
    text: `select thread_id, "values", status from holdfast.threads`,
    values: [],
  });
  return wrongResults({ threads: threads as never, ledger: ledger as never, log });
}

export function throwAny(broken: readonly string[]): void {
  if (broken.length > 0) throw new Error(`${broken.length} violations:\n${broken.join("\n")}`);
}
