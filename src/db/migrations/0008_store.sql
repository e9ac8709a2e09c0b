-- Long-term memory: items that outlive threads, each tenant's for itself. Labels and keys sort by their bytes, so that
-- everything below a prefix of labels is one range of the primary key.
create table holdfast.store_items (
  tenant text not null,
  namespace text[] collate "C" not null check (cardinality(namespace) > 0),
  key text collate "C" not null,
  value jsonb not null check (jsonb_typeof(value) = 'object'),
  -- Null: kept until somebody deletes it. Reads may put the end off by as long again.
  ttl_minutes double precision check (ttl_minutes > 0),
  expires_at timestamptz,
  created_at timestamptz not null default holdfast.now(),
  updated_at timestamptz not null default holdfast.now(),
  primary key (tenant, namespace, key),
  check ((ttl_minutes is null) = (expires_at is null))
);
create index store_items_expiring on holdfast.store_items (expires_at) where expires_at is not null;
