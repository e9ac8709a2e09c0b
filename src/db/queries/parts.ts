// Long texts in parts. A column that may hold a manifest is read by `whole`, or not at all.
import type { Part } from "../../domain/parts.ts";
import { type Queryable, query } from "../query.ts";

/** Type of a blob that the strict serializer wrote. */
export const ownType = "holdfast";
/** Type of a blob that is a manifest of what the strict serializer wrote. */
export const blobInParts = "holdfast-parts";

/** A text whole again. Others cost a look at their first character. */
export const whole = (thread: string, text: string): string =>
  `case when left(${text}, 1) = '#' then holdfast.whole(${thread}, ${text}) else ${text} end`;

const there = "p.thread_id = $1::uuid and p.hash = h.hash";

/** Which of these parts are stored. */
export const storedParts = query({
  name: "parts.stored",
  text: `
select h.hash from unnest($2::text[]) as h (hash)
 where exists (select 1 from holdfast.parts p where ${there} offset 0)`,
  values: (p: { threadId: string; hashes: readonly string[] }) => [p.threadId, p.hashes],
  row: (raw) => raw.hash as string,
});

/** Parts of several threads; the caller has locked these, or the runs that write them. */
export const insertParts = query({
  name: "parts.insert",
  text: `
insert into holdfast.parts (thread_id, hash, data)
select * from unnest($1::uuid[], $2::text[], $3::text[]) on conflict do nothing`,
  values: (all: readonly (Part & { threadId: string })[]) => [
    all.map(({ threadId }) => threadId),
    all.map(({ hash }) => hash),
    all.map(({ data }) => data),
  ],
  row: () => true,
});

/** Parts of one thread, sent before the texts that name them, in one transaction with these. */
export async function sendParts(on: Queryable, threadId: string, parts: readonly Part[]): Promise<void> {
  if (parts.length === 0) return;
  await insertParts(
    on,
    parts.map((part) => ({ ...part, threadId })),
  );
}

/**
 * The hashes that manifests name, directly or through nodes, as `used`. `manifests` is a query of their texts; the CTEs
 * belong behind `with recursive`.
 */
export const usedBy = (thread: string, manifests: string): string => `
manifests (value) as (${manifests}),
listed as (
  select distinct cardinality(m.sections) - s.place::int as level, h.hash
    from (select string_to_array(split_part(value, ' ', 2), '.') as sections from manifests) m,
         unnest(m.sections) with ordinality as s (section, place), unnest(string_to_array(s.section, ',')) as h (hash)
),
used (level, hash) as (
  select level, hash from listed
  union
  select u.level - 1, h.hash
    from used u join holdfast.parts p on p.thread_id = ${thread} and p.hash = u.hash,
         unnest(string_to_array(p.data, ',')) as h (hash)
   where u.level > 0
)`;

export const manifestsOfBlobs = (thread: string): string => `
select convert_from(b.blob, 'UTF8') from public.checkpoint_blobs b
 where b.thread_id = ${thread}::text and b.type = '${blobInParts}'`;

/** Removes what nothing of the thread refers to any more. The thread is locked and has no open run. */
export const pruneParts = query({
  name: "parts.prune",
  text: `
with recursive ${usedBy(
    "$1::uuid",
    `${manifestsOfBlobs("$1::uuid")}
  union all select t."values" from holdfast.threads t where t.thread_id = $1::uuid and left(t."values", 1) = '#'
  union all select r.output from holdfast.runs r where r.thread_id = $1::uuid and left(r.output, 1) = '#'
  union all select e.data from holdfast.runs r join holdfast.run_events e using (run_id)
             where r.thread_id = $1::uuid and left(e.data, 1) = '#'`,
  )}
delete from holdfast.parts p
 where p.thread_id = $1::uuid and not exists (select 1 from used u where u.hash = p.hash)`,
  values: (p: { threadId: string }) => [p.threadId],
  row: () => true,
});
