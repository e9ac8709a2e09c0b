-- Runs that start by the clock. A cron is due when next_run_date has come; whoever moves that date has fired the tick.

create table holdfast.crons (
  cron_id uuid primary key,
  tenant text not null,
  principal text not null,
  -- No reference: system assistants may have no row yet, and a cron whose assistant is gone says so in last_error.
  assistant_id uuid not null,
  -- Null: each run brings a thread of its own. A cron goes with its thread.
  thread_id uuid references holdfast.threads on delete cascade,
  schedule text not null,
  timezone text,
  end_time timestamptz,
  enabled boolean not null,
  missed text not null check (missed in ('once', 'skip')),
  on_run_completed text not null check (on_run_completed in ('delete', 'keep')),
  payload jsonb not null,
  metadata jsonb not null,
  -- Null: paused, or no tick is left before end_time.
  next_run_date timestamptz,
  last_run_id uuid,
  last_error text,
  created_at timestamptz not null default holdfast.now(),
  updated_at timestamptz not null default holdfast.now(),
  check (enabled or next_run_date is null)
);
create index crons_due on holdfast.crons (next_run_date) where next_run_date is not null;
create index crons_by_time on holdfast.crons (tenant, created_at desc);
create index crons_by_thread on holdfast.crons (thread_id) where thread_id is not null;

create index runs_open_of_cron on holdfast.runs ((metadata ->> 'cron_id'))
 where metadata ->> 'cron_id' is not null and status in ('queued', 'blocked', 'running');
