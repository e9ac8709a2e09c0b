-- Settings by how the tables are written: vacuumed by what changes, not by how much there is.

-- A run is updated a few times within seconds and then lies still. With a fifth of a million finished runs, which is what
-- Postgres waits for by itself, the queue's index would be full of dead entries that each claim steps over.
alter table holdfast.runs set (
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 1000
);
alter table holdfast.threads set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Written once and read by key: dead rows come from deletes alone, but new pages should be known as visible.
alter table holdfast.run_events set (autovacuum_vacuum_insert_scale_factor = 0.1);
