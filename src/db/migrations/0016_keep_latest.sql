-- Threads of which all but the latest state goes. The minutes are a column of their own: a process of an older version,
-- which deletes what has `ttl_minutes`, leaves such a thread alone.
alter table holdfast.threads
  -- Minutes after its last update at which all but the latest state of an idle thread goes; null keeps it.
  add column keep_latest_minutes double precision check (keep_latest_minutes > 0),
  -- When that was last done; a thread is not looked at again until it is updated.
  add column pruned_at timestamptz;
create index threads_keep_latest on holdfast.threads (updated_at)
  where keep_latest_minutes is not null and (pruned_at is null or pruned_at < updated_at);
