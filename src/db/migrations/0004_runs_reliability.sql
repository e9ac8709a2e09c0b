-- Compensation runs, suspects, dead letters by cause.
alter table holdfast.runs
  -- A compensation undoes the effects of the run it names, as the head of its thread.
  add column kind text not null default 'graph' check (kind in ('graph', 'compensation')),
  add column compensates uuid,
  -- Two workers died while it ran: it is run again alone, in a process of its own.
  add column suspect boolean not null default false,
  -- Leases that ran out since the run last got on, whoever was to blame.
  add column losses int not null default 0,
  -- Of a dead letter: runs that died of the same cause share it.
  add column fingerprint text,
  -- What a run may do about effects that lie behind its fork or redrive.
  add column effects_policy text check (effects_policy in ('reuse', 'repeat', 'deny'));
-- One at a time: a stuck compensation is gone on with by a later one, after a human has decided.
create unique index runs_compensates on holdfast.runs (compensates)
  where compensates is not null and status in ('queued', 'running');
create index runs_dead_by_cause on holdfast.runs (tenant, fingerprint)
  where status in ('error', 'timeout') and discarded_at is null;
create index runs_redrives on holdfast.runs (redrive_of) where redrive_of is not null;

-- What a human decided about an effect whose compensation was stuck: who, and whether it is undone or left as it is.
alter table holdfast.effects add column compensation_decision jsonb,
  -- Which of two effects came first when the clock cannot tell.
  add column seq bigint generated always as identity;
-- A question of a stuck compensation: no interrupt of the graph, so no resume answers it and no later run outdates it.
alter table holdfast.escalations add column compensation boolean not null default false;

-- Suspects wait in a line of their own: workers that look for other runs do not step over them.
drop index holdfast.runs_queue;
create index runs_queue on holdfast.runs (priority desc, available_at, seq) where status = 'queued' and not suspect;
create index runs_suspects on holdfast.runs (priority desc, available_at, seq) where status = 'queued' and suspect;
