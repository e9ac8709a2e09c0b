-- The ledger learns classes, the resolution of unclear calls and business keys.
alter table holdfast.effects
  add column tool_call_id text,
  add column tool_version text,
  add column class text not null default 'at_most_once'
    check (class in ('read', 'idempotent', 'queryable', 'natural', 'at_most_once', 'compensatable')),
  -- What the call is about: one row for each, whatever run or thread asks.
  add column business_key text,
  -- Where the task sits, so that a fork can tell what lies behind it.
  add column checkpoint_ns text not null default '',
  add column checkpoint_id text,
  add column attempt int,
  -- Calls sent to the world under this key.
  add column dispatches int not null default 0,
  add column first_dispatched_at timestamptz,
  add column looks int not null default 0,
  add column looked_at timestamptz,
  -- Once a human was asked, every repetition asks again, so that later questions of the node keep their places.
  add column asked boolean not null default false,
  -- Of a compensation: the effect it undoes.
  add column compensates uuid,
  add column compensated_at timestamptz,
  -- In a fork that may reuse effects: the call of an earlier pass whose result this one took.
  add column reuses uuid,
  -- Of the dispatches, those of the run that has the row now: a redrive starts with a fresh budget.
  add column run_dispatches int not null default 0,
  -- A business key outlives the thread it came from; deleting a thread removes the rows without one.
  alter column thread_id drop not null,
  drop constraint effects_thread_id_fkey,
  add constraint effects_thread_id_fkey foreign key (thread_id) references holdfast.threads on delete set null,
  drop constraint effects_state_check,
  add constraint effects_state_check check (state in ('prepared', 'dispatched', 'succeeded', 'failed', 'unknown',
    'reconciled_done', 'reconciled_absent', 'escalated', 'compensated'));
create unique index effects_compensates on holdfast.effects (compensates) where compensates is not null;
create index effects_by_task on holdfast.effects (thread_id, task_id);
create index effects_unclear on holdfast.effects (run_id) where state in ('dispatched', 'unknown', 'escalated');
create index effects_without_thread on holdfast.effects (prepared_at) where thread_id is null;
create index effects_by_run on holdfast.effects (run_id);
create index effects_business on holdfast.effects (tenant, tool, business_key) where business_key is not null;

-- The question that a human was asked about an effect.
alter table holdfast.escalations add column effect_id uuid;
create index escalations_effect on holdfast.escalations (effect_id) where effect_id is not null;
