import { query } from "../query.ts";
import { asAssistant } from "./rows.ts";

/** Every graph of langgraph.json has an assistant of its own; a second start changes nothing. */
export const upsertSystemAssistant = query({
  name: "assistant.upsert_system",
  text: `
insert into holdfast.assistants (assistant_id, graph_id, name, config, context, metadata)
values ($1, $2, $2, $3, $4, '{"created_by": "system"}')
on conflict (assistant_id) do update set config = excluded.config, context = excluded.context
 where assistants.metadata @> '{"created_by": "system"}'`,
  values: (p: { assistantId: string; graphId: string; config: unknown; context: unknown }) => [
    p.assistantId,
    p.graphId,
    JSON.stringify(p.config),
    JSON.stringify(p.context),
  ],
  row: () => true,
});

export const getAssistant = query({
  name: "assistant.get",
  text: "select * from holdfast.assistants where assistant_id = $1",
  values: (p: { assistantId: string }) => [p.assistantId],
  row: asAssistant,
});

export interface AssistantFilter {
  graphId: string | null;
  metadata: unknown;
  name: string | null;
  limit: number;
  offset: number;
}

export const searchAssistants = query({
  name: "assistant.search",
  text: `
select *, count(*) over () as total from holdfast.assistants
 where ($1::text is null or graph_id = $1) and ($2::jsonb is null or metadata @> $2::jsonb)
   and ($3::text is null or position(lower($3) in lower(name)) > 0)
 order by created_at desc, assistant_id limit $4 offset $5`,
  values: (p: AssistantFilter) => [
    p.graphId,
    p.metadata === null ? null : JSON.stringify(p.metadata),
    p.name,
    p.limit,
    p.offset,
  ],
  row: (raw) => ({ assistant: asAssistant(raw), total: raw.total as number }),
});
