-- Threads by their callers' own keys: the id of such a thread is made from its tenant, its key and this secret.
alter table holdfast.threads add column key text;

create table holdfast.thread_key_secret (
  only_row boolean primary key default true check (only_row),
  secret text not null
);
-- 244 random bits: two version 4 UUIDs.
insert into holdfast.thread_key_secret (secret) values (gen_random_uuid()::text || gen_random_uuid()::text);
