import type { AccessFilter } from "../../domain/access.ts";
import { query } from "../query.ts";
import { accessValue } from "./access.ts";
import { asFound, type Page, pageText, pageValues } from "./page.ts";
import { asAssistant, asAssistantVersion } from "./rows.ts";

const json = (value: unknown): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value);

// A version is written in the statement that moves its assistant: neither is ever seen without the other.
const keepVersion = (moved: string): string => `
insert into holdfast.assistant_versions (assistant_id, version, graph_id, name, description, config, context, metadata, created_at)
select assistant_id, version, graph_id, name, description, config, context, metadata, updated_at from ${moved}`;

/**
 * Every graph of langgraph.json has an assistant of its own; a second start changes nothing. Its id is the graph's: who
 * made one of that id before the graph was there loses it.
 */
export const upsertSystemAssistant = query({
  name: "assistant.upsert_system",
  text: `
with upserted as (
  insert into holdfast.assistants (assistant_id, graph_id, name, config, context, metadata, system)
  values ($1, $2, $2, $3, $4, '{"created_by": "system"}', true)
  on conflict (assistant_id) do update
     set tenant = default, graph_id = excluded.graph_id, name = excluded.name, description = null, version = 1, last_version = 1,
         config = excluded.config, context = excluded.context, metadata = excluded.metadata, system = true
  returning *
), forgotten as (
  delete from holdfast.assistant_versions where assistant_id = $1 and version > 1
)
${keepVersion("upserted")}
on conflict (assistant_id, version) do update
   set graph_id = excluded.graph_id, name = excluded.name, description = null,
       config = excluded.config, context = excluded.context, metadata = excluded.metadata`,
  values: (p: { assistantId: string; graphId: string; config: unknown; context: unknown }) => [
    p.assistantId,
    p.graphId,
    JSON.stringify(p.config),
    JSON.stringify(p.context),
  ],
  row: () => true,
});

interface AssistantKey {
  assistantId: string;
  tenant: string;
}

/** The tenant's own, or one of the system. */
export const getAssistant = query({
  name: "assistant.get",
  text: "select * from holdfast.assistants where assistant_id = $1 and (tenant = $2 or system)",
  values: (p: AssistantKey) => [p.assistantId, p.tenant],
  row: asAssistant,
});

/** Zero rows when an assistant of that id exists, whosever it is. */
export const insertAssistant = query({
  name: "assistant.insert",
  text: `
with made as (
  insert into holdfast.assistants (assistant_id, tenant, graph_id, name, description, config, context, metadata)
  values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (assistant_id) do nothing returning *
), kept as (${keepVersion("made")})
select * from made`,
  values: (
    p: AssistantKey & {
      graphId: string;
      name: string;
      description: string | null;
      config: unknown;
      context: unknown;
      metadata: unknown;
    },
  ) => [
    p.assistantId,
    p.tenant,
    p.graphId,
    p.name,
    p.description,
    JSON.stringify(p.config),
    JSON.stringify(p.context),
    JSON.stringify(p.metadata),
  ],
  row: asAssistant,
});

/**
 * The next version: metadata merged key by key, the rest replaced where sent. Zero rows when it is not the tenant's own, is
 * a system assistant, or has had its last version.
 */
export const patchAssistant = query({
  name: "assistant.patch",
  text: `
with patched as (
  update holdfast.assistants
     set version = last_version + 1, last_version = last_version + 1, updated_at = holdfast.now(),
         graph_id = coalesce($3, graph_id), name = coalesce($4, name), description = coalesce($5, description),
         config = coalesce($6::jsonb, config), context = coalesce($7::jsonb, context),
         metadata = metadata || coalesce($8::jsonb, '{}')
   where assistant_id = $1 and tenant = $2 and not system and last_version < $9 returning *
), kept as (${keepVersion("patched")})
select * from patched`,
  values: (
    p: AssistantKey & {
      graphId: string | null;
      name: string | null;
      description: string | null;
      config: unknown;
      context: unknown;
      metadata: unknown;
      versionsMax: number;
    },
  ) => [
    p.assistantId,
    p.tenant,
    p.graphId,
    p.name,
    p.description,
    json(p.config),
    json(p.context),
    json(p.metadata),
    p.versionsMax,
  ],
  row: asAssistant,
});

/** Everything of an older version is in use again. Zero rows when there is none, or for a system assistant. */
export const setLatestVersion = query({
  name: "assistant.set_latest",
  text: `
update holdfast.assistants a
   set version = v.version, graph_id = v.graph_id, name = v.name, description = v.description,
       config = v.config, context = v.context, metadata = v.metadata, updated_at = holdfast.now()
  from holdfast.assistant_versions v
 where a.assistant_id = $1 and a.tenant = $2 and not a.system and v.assistant_id = a.assistant_id and v.version = $3
returning a.*`,
  values: (p: AssistantKey & { version: number }) => [p.assistantId, p.tenant, p.version],
  row: asAssistant,
});

/** With its versions. Runs that it has started go on: they carry all they need. */
export const deleteAssistant = query({
  name: "assistant.delete",
  text: `delete from holdfast.assistants where assistant_id = $1 and tenant = $2 and not system returning assistant_id`,
  values: (p: AssistantKey) => [p.assistantId, p.tenant],
  row: (raw) => raw.assistant_id as string,
});

/** Newest first. Whether the caller may see the assistant has been asked before. */
export const listVersions = query({
  name: "assistant.versions",
  text: `
select * from holdfast.assistant_versions
 where assistant_id = $1 and ($2::jsonb is null or metadata @> $2::jsonb) and ($5::jsonb is null or metadata @> $5::jsonb)
 order by version desc limit $3 offset $4`,
  values: (p: {
    assistantId: string;
    metadata: unknown;
    limit: number;
    offset: number;
    access: AccessFilter | null;
  }) => [p.assistantId, json(p.metadata), p.limit, p.offset, accessValue(p)],
  row: asAssistantVersion,
});

const sortColumns = ["assistant_id", "graph_id", "name", "created_at", "updated_at"] as const;
export type AssistantSort = (typeof sortColumns)[number];

export interface AssistantFilter {
  tenant: string;
  /** Of langgraph.json: a graph's own assistant is left out when its graph is. */
  graphIds: readonly string[];
  graphId: string | null;
  metadata: unknown;
  /** Part of it, in any case. */
  name: string | null;
  /** What the metadata must contain for the caller to see it. */
  access: AccessFilter | null;
}
const where = ({ access, graphIds }: { access: string; graphIds: string }): string => `
 where case when system then graph_id = any(${graphIds}::text[]) else tenant = $1 end
   and ($2::text is null or graph_id = $2)
   and ($3::jsonb is null or metadata @> $3::jsonb)
   and ($4::text is null or position(lower($4) in lower(name)) > 0)
   and (${access}::jsonb is null or metadata @> ${access}::jsonb)`;
const filterValues = (p: AssistantFilter): unknown[] => [p.tenant, p.graphId, json(p.metadata), p.name];

export const searchAssistants = query({
  name: "assistant.search",
  text: pageText({
    from: `holdfast.assistants ${where({ access: "$10", graphIds: "$11" })}`,
    sortColumns,
    id: "assistant_id",
    sized: ["config", "context", "metadata"],
    first: 5,
  }),
  values: (p: AssistantFilter & Page<AssistantSort>) => [
    ...filterValues(p),
    ...pageValues(p),
    accessValue(p),
    p.graphIds,
  ],
  row: asFound("assistant_id", asAssistant),
});

export const countAssistants = query({
  name: "assistant.count",
  text: `select count(*) as n from holdfast.assistants ${where({ access: "$5", graphIds: "$6" })}`,
  values: (p: AssistantFilter) => [...filterValues(p), accessValue(p), p.graphIds],
  row: (raw) => raw.n as number,
});
