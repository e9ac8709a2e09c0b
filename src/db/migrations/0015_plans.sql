-- Plans of the hot statements that stay right when the tables grow faster than their statistics.

-- An expression that only these indexes have: a claim cannot be planned by the index of the threads' heads, which would
-- be read and sorted whole.
drop index holdfast.runs_queue, holdfast.runs_suspects;
create index runs_queue on holdfast.runs (priority desc, available_at, seq) where status || '' = 'queued' and not suspect;
create index runs_suspects on holdfast.runs (priority desc, available_at, seq) where status || '' = 'queued' and suspect;

-- Connections keep the plans of the hot statements until a table's statistics change. While a table has none, Postgres
-- takes it for larger than it is, and plans by index; the statistics of a few rows make it plan to read the whole table,
-- and a burst then has that plan until the next look of autovacuum, a minute later. So the first ones come late.
alter table holdfast.threads set (autovacuum_analyze_threshold = 1000);
alter table holdfast.run_events set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
alter table holdfast.run_attempts set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
alter table holdfast.escalations set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
alter table holdfast.effects set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
alter table public.checkpoints set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
alter table public.checkpoint_blobs set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
alter table public.checkpoint_writes set (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);
