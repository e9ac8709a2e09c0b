-- Assistants made over HTTP, and their versions.
alter table holdfast.assistants
  -- Of a graph itself, made from langgraph.json: every tenant sees it, nobody changes it.
  add column system boolean not null default false,
  -- The highest version ever given; `version` is the one in use.
  add column last_version int not null default 1;
update holdfast.assistants set system = true where metadata @> '{"created_by": "system"}';
create index assistants_by_time on holdfast.assistants (tenant, created_at desc);

create table holdfast.assistant_versions (
  assistant_id uuid not null references holdfast.assistants on delete cascade,
  version int not null,
  graph_id text not null,
  name text not null,
  description text,
  config jsonb not null,
  context jsonb not null,
  metadata jsonb not null,
  created_at timestamptz not null default holdfast.now(),
  primary key (assistant_id, version)
);
insert into holdfast.assistant_versions (assistant_id, version, graph_id, name, description, config, context, metadata, created_at)
select assistant_id, version, graph_id, name, description, config, context, metadata, created_at from holdfast.assistants;
