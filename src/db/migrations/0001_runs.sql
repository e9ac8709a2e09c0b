-- Threads, runs and what hangs on them. LangGraph's own tables are made by its saver, before this runs.
-- The run row is the queue entry: only the head of a thread is ever `queued` or `running`.

-- Every statement takes the time from here, so that a test can set it.
create function holdfast.now() returns timestamptz language sql stable parallel safe as $$
  select coalesce(nullif(current_setting('holdfast.test_now', true), '')::timestamptz, clock_timestamp())
$$;

-- Values are JSON text that may hold what jsonb refuses: such a thread is not found by its values, and breaks no search.
create function holdfast.searchable(value text) returns jsonb language plpgsql immutable parallel safe as $$
begin
  return replace(value, '\u0000', '\ufffd')::jsonb;
exception when others then
  return null;
end
$$;

create table holdfast.assistants (
  assistant_id uuid primary key,
  tenant text not null default 'default',
  graph_id text not null,
  name text not null,
  description text,
  version int not null default 1,
  config jsonb not null default '{}',
  context jsonb not null default '{}',
  metadata jsonb not null default '{}',
  created_at timestamptz not null default holdfast.now(),
  updated_at timestamptz not null default holdfast.now()
);

create table holdfast.threads (
  thread_id uuid primary key,
  tenant text not null default 'default',
  status text not null default 'idle' check (status in ('idle', 'busy', 'interrupted', 'error')),
  metadata jsonb not null default '{}',
  config jsonb not null default '{}',
  graph_id text,
  -- Version of the graph that parked the thread; a resume under another one is checked first.
  graph_version text,
  -- The highest epoch ever used on this thread.
  epoch bigint not null default 0,
  -- JSON text, not jsonb: a value may hold \u0000, which jsonb refuses.
  "values" text,
  interrupts text,
  error text,
  created_at timestamptz not null default holdfast.now(),
  updated_at timestamptz not null default holdfast.now()
) with (fillfactor = 80);
create index threads_by_time on holdfast.threads (tenant, created_at desc);
create index threads_metadata on holdfast.threads using gin (metadata jsonb_path_ops);

create table holdfast.runs (
  run_id uuid primary key,
  seq bigint generated always as identity,
  tenant text not null default 'default',
  thread_id uuid not null references holdfast.threads on delete cascade,
  assistant_id uuid not null,
  graph_id text not null,
  status text not null check (status in ('queued', 'blocked', 'running', 'success', 'error', 'timeout', 'interrupted')),
  multitask_strategy text not null,
  priority smallint not null default 0,
  available_at timestamptz not null,
  delayed boolean not null default false,
  -- Stateless runs delete their thread afterwards.
  temporary boolean not null default false,
  kwargs jsonb not null,
  metadata jsonb not null default '{}',
  -- Answers to parked questions, and whether they are written on the parked checkpoint.
  resume jsonb,
  input_applied boolean not null default false,
  epoch bigint not null default 0,
  attempt int not null default 0,
  failures int not null default 0,
  crashes int not null default 0,
  attempts_max int not null default 5,
  worker_id text,
  lease_until timestamptz,
  cancel_requested text check (cancel_requested in ('interrupt', 'rollback')),
  output text,
  error jsonb,
  redrive_of uuid,
  discarded_at timestamptz,
  discard_reason text,
  created_at timestamptz not null default holdfast.now(),
  updated_at timestamptz not null default holdfast.now(),
  started_at timestamptz,
  -- When the attempt under way was claimed.
  claimed_at timestamptz,
  finished_at timestamptz,
  check ((status = 'running') = (lease_until is not null)),
  check ((status in ('success', 'error', 'timeout', 'interrupted')) = (finished_at is not null))
) with (fillfactor = 70);
create unique index runs_one_head_per_thread on holdfast.runs (thread_id) where status in ('queued', 'running');
create index runs_queue on holdfast.runs (priority desc, available_at, seq) where status = 'queued';
create index runs_blocked on holdfast.runs (thread_id, seq) where status = 'blocked';
create index runs_delayed on holdfast.runs (available_at) where status = 'blocked' and delayed;
create index runs_leases on holdfast.runs (lease_until) where status = 'running';
create index runs_by_thread on holdfast.runs (thread_id, seq desc);
create index runs_dead on holdfast.runs (finished_at) where status in ('error', 'timeout') and discarded_at is null;

create table holdfast.run_attempts (
  run_id uuid not null references holdfast.runs on delete cascade,
  epoch bigint not null,
  attempt int not null,
  worker_id text,
  outcome text not null,
  error jsonb,
  retry_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz not null default holdfast.now(),
  primary key (run_id, epoch)
);

create table holdfast.run_events (
  run_id uuid not null references holdfast.runs on delete cascade,
  seq int not null,
  attempt int not null,
  step int,
  event text not null,
  data text not null,
  created_at timestamptz not null default holdfast.now(),
  primary key (run_id, seq)
);

create table holdfast.idempotency_keys (
  tenant text not null,
  key text not null,
  request_digest text not null,
  run_id uuid,
  created_at timestamptz not null default holdfast.now(),
  primary key (tenant, key)
);
create index idempotency_keys_by_time on holdfast.idempotency_keys (created_at);

create table holdfast.escalations (
  escalation_id uuid primary key,
  tenant text not null default 'default',
  thread_id uuid not null references holdfast.threads on delete cascade,
  run_id uuid,
  graph_id text not null,
  node text not null,
  task_id text not null,
  ordinal int not null,
  interrupt_id text,
  checkpoint_ns text not null,
  checkpoint_id text not null,
  payload text not null,
  payload_digest text not null,
  reasons jsonb not null default '[]',
  allowed_decisions jsonb not null,
  assignee text,
  priority smallint not null default 0,
  sla_at timestamptz,
  expires_at timestamptz,
  on_expiry text check (on_expiry in ('reject', 'approve')),
  status text not null default 'open' check (status in ('open', 'decided', 'superseded', 'expired')),
  decision text,
  decided_by text,
  decided_at timestamptz,
  resume_run_id uuid,
  created_at timestamptz not null default holdfast.now(),
  check ((status in ('decided', 'expired')) = (decided_at is not null)),
  unique (thread_id, task_id, ordinal)
);
create index escalations_open on holdfast.escalations (tenant, priority desc, created_at) where status = 'open';
create index escalations_expiry on holdfast.escalations (expires_at) where status = 'open' and expires_at is not null;

create table holdfast.effects (
  effect_id uuid primary key,
  tenant text not null default 'default',
  run_id uuid,
  thread_id uuid not null references holdfast.threads on delete cascade,
  task_id text not null,
  ordinal int not null,
  tool text not null,
  key text not null unique,
  args_digest text not null,
  args text not null,
  state text not null check (state in ('prepared', 'dispatched', 'succeeded', 'failed', 'unknown')),
  epoch bigint not null,
  result text,
  error jsonb,
  prepared_at timestamptz not null default holdfast.now(),
  dispatched_at timestamptz,
  settled_at timestamptz
);
create index effects_by_thread on holdfast.effects (thread_id, prepared_at);

create table holdfast.api_keys (
  key_id uuid primary key,
  tenant text not null default 'default',
  name text not null,
  prefix text not null,
  hash bytea not null unique,
  created_at timestamptz not null default holdfast.now(),
  revoked_at timestamptz
);
