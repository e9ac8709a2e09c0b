-- Webhooks: what is to be told of an ended run, written together with its end.
create table holdfast.webhook_deliveries (
  delivery_id uuid primary key default gen_random_uuid(),
  tenant text not null,
  run_id uuid not null,
  thread_id uuid not null,
  url text not null,
  -- The run as it ended, and the values of its thread: both outlive the run.
  run jsonb not null,
  output text,
  status text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
  attempts int not null default 0,
  -- Due from then on; whoever takes it moves this on first, so that a sender that dies costs one wait.
  due_at timestamptz not null default holdfast.now(),
  error text,
  created_at timestamptz not null default holdfast.now(),
  ended_at timestamptz
);
create index webhook_deliveries_due on holdfast.webhook_deliveries (tenant, due_at) where status = 'pending';
create index webhook_deliveries_of_tenant on holdfast.webhook_deliveries (tenant, status, created_at desc);
create index webhook_deliveries_ended on holdfast.webhook_deliveries (ended_at) where status <> 'pending';
