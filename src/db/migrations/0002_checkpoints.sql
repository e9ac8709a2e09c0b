-- What our saver adds to LangGraph's tables: an order of its own, and the owner of every row.
-- "Latest" must never come from checkpoint ids: they hold the clock of the worker that wrote them.

create sequence holdfast.checkpoint_seq;

alter table public.checkpoints add column seq bigint;
alter table public.checkpoints add column run_id uuid;
alter table public.checkpoints add column epoch bigint;
with ordered as (
  select thread_id, checkpoint_ns, checkpoint_id,
         row_number() over (order by thread_id, checkpoint_ns, checkpoint_id) as n
    from public.checkpoints
)
update public.checkpoints c set seq = o.n from ordered o
 where (c.thread_id, c.checkpoint_ns, c.checkpoint_id) = (o.thread_id, o.checkpoint_ns, o.checkpoint_id);
select setval('holdfast.checkpoint_seq', (select coalesce(max(seq), 0) + 1 from public.checkpoints), false);
alter table public.checkpoints alter column seq set default nextval('holdfast.checkpoint_seq');
alter table public.checkpoints alter column seq set not null;
create index checkpoints_by_seq on public.checkpoints (thread_id, checkpoint_ns, seq desc);

alter table public.checkpoint_writes add column run_id uuid;
alter table public.checkpoint_writes add column epoch bigint;

-- A run may overwrite an older run's special write (a resume, an interrupt) on a parked checkpoint.
-- What it replaced is kept here until the run can no longer be rolled back.
create table holdfast.replaced_writes (
  run_id uuid not null references holdfast.runs on delete cascade,
  thread_id text not null,
  checkpoint_ns text not null,
  checkpoint_id text not null,
  task_id text not null,
  idx int not null,
  channel text not null,
  type text,
  blob bytea not null,
  owner_run_id uuid,
  owner_epoch bigint,
  primary key (run_id, thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);

-- The stock saver names blob versions by integers; in our padded form they carry an all-zero suffix.
create function holdfast.stock_version(version text) returns text language sql immutable parallel safe as $$
  select case when version like '%.000000000' then coalesce(nullif(ltrim(split_part(version, '.', 1), '0'), ''), '0') end
$$;
