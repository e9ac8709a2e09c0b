-- When a thread's time to live is over, as the sweep asks for it: with its last update in the index, all threads that may
-- live long were read each time. In UTC, for an index takes only what no session's time zone can change.
drop index holdfast.threads_ttl, holdfast.threads_keep_latest;
create index threads_ttl on holdfast.threads (((updated_at at time zone 'UTC') + ttl_minutes * interval '1 minute'))
  where ttl_minutes is not null;
create index threads_keep_latest on holdfast.threads (((updated_at at time zone 'UTC') + keep_latest_minutes * interval '1 minute'))
  where keep_latest_minutes is not null and (pruned_at is null or pruned_at < updated_at);
