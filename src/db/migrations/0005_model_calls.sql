-- The journal of model calls: an answer is stored before anything acts on it, and a repeated step gets it again.
create table holdfast.model_calls (
  call_id uuid primary key,
  tenant text not null default 'default',
  run_id uuid,
  thread_id uuid not null references holdfast.threads on delete cascade,
  task_id text not null,
  -- sha256 of the request; the same request may be asked several times in one task.
  request_digest text not null,
  nth int not null,
  epoch bigint not null,
  -- open: no request is under way; asked: one is.
  state text not null default 'open' check (state in ('open', 'asked', 'answered')),
  -- Requests sent to any provider for this call by this run, counted before each was sent.
  tries int not null default 0,
  -- How often the call was put off because no provider was to be asked.
  waits int not null default 0,
  model text,
  -- The answer as it came, chunk by chunk.
  answer text,
  error jsonb,
  input_tokens int,
  output_tokens int,
  asked_at timestamptz not null default holdfast.now(),
  answered_at timestamptz,
  unique (thread_id, task_id, request_digest, nth)
);
create index model_calls_by_task on holdfast.model_calls (thread_id, task_id);

-- One breaker for each provider and model, shared by all workers.
create table holdfast.breakers (
  target text primary key,
  state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
  -- Set by an operator: the breaker stays as it is, whatever happens.
  forced boolean not null default false,
  failures int not null default 0,
  opened_at timestamptz,
  -- The one probe that is let through while half open, until it answers or this time.
  probe_until timestamptz,
  updated_at timestamptz not null default holdfast.now()
);
