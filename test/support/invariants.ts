import { expect } from "vitest";
import type { Database } from "../../src/db/pool.ts";

async function rowsOf(
  db: Database,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  return (await db.query({ text, values })).rows;
}

/** I1 to I5 by query, over everything in the database. `acknowledged` are the ids that got a 2xx. */
export async function checkInvariants(db: Database, acknowledged: readonly string[]): Promise<void> {
  const lost = await rowsOf(
    db,
    `select id from unnest($1::uuid[]) id
      where not exists (select 1 from holdfast.runs r where r.run_id = id and r.finished_at is not null)`,
    [acknowledged],
  );
  expect(lost, "I1: accepted runs that are lost or not at their end").toEqual([]);

  const ends = await rowsOf(
    db,
    `select run_id from holdfast.run_attempts where outcome in ('success', 'dead', 'cancelled', 'compensated') group by run_id having count(*) > 1`,
  );
  expect(ends, "I2: runs that ended more than once").toEqual([]);

  const stuck = await rowsOf(
    db,
    "select run_id, status from holdfast.runs where status in ('queued', 'running', 'blocked')",
  );
  expect(stuck, "I3: runs that are stuck").toEqual([]);

  const interleaved = await rowsOf(
    db,
    `select thread_id, seq, epoch, before from (
       select thread_id, seq, epoch, lag(epoch) over (partition by thread_id order by seq) as before from public.checkpoints) c
      where epoch < before`,
  );
  expect(interleaved, "I4: checkpoints written by a holder after its successor").toEqual([]);

  const broken = await rowsOf(
    db,
    `select thread_id, checkpoint_id from (
       select thread_id, checkpoint_id, parent_checkpoint_id, seq,
              lag(checkpoint_id) over (partition by thread_id, checkpoint_ns order by seq) as head
         from public.checkpoints where checkpoint_ns = '') c
      where parent_checkpoint_id is distinct from head`,
  );
  expect(broken, "I5: checkpoints whose parent is not the head before them").toEqual([]);

  const heads = await rowsOf(
    db,
    `select thread_id, count(*) as heads from public.checkpoints c where checkpoint_ns = ''
        and not exists (select 1 from public.checkpoints d where d.thread_id = c.thread_id
                         and d.checkpoint_ns = '' and d.parent_checkpoint_id = c.checkpoint_id)
      group by thread_id having count(*) <> 1`,
  );
  expect(heads, "I5: threads with more than one head").toEqual([]);

  const gaps = await rowsOf(
    db,
    `select run_id from holdfast.run_events group by run_id having max(seq) + 1 <> count(*) or min(seq) <> 0`,
  );
  expect(gaps, "I10: streams with a gap").toEqual([]);
}
