-- What becomes of a thread past its time to live: it is deleted, or all but its latest state is.
alter table holdfast.threads
  add column ttl_strategy text not null default 'delete' check (ttl_strategy in ('delete', 'keep_latest')),
  -- When all but its latest state last went because of its age; it is not looked at again until it is updated.
  add column pruned_at timestamptz;
drop index holdfast.threads_ttl;
create index threads_ttl on holdfast.threads (updated_at)
  where ttl_minutes is not null and (pruned_at is null or pruned_at < updated_at);
