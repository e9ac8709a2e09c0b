-- Threads that go by themselves, the time of a thread's last state, and the place of a run in its thread's stream.
alter table holdfast.threads
  -- Minutes after its last update at which an idle thread is deleted; null keeps it.
  add column ttl_minutes double precision check (ttl_minutes > 0),
  add column state_updated_at timestamptz not null default holdfast.now();
update holdfast.threads set state_updated_at = updated_at;
create index threads_ttl on holdfast.threads (updated_at) where ttl_minutes is not null;

-- The epoch of a run's first claim. Runs of a thread work one after the other, so this is the order of their events.
alter table holdfast.runs add column first_epoch bigint;
update holdfast.runs r
   set first_epoch = coalesce((select min(a.epoch) from holdfast.run_attempts a where a.run_id = r.run_id), r.epoch)
 where r.started_at is not null;
